//! Answers of web servers that nobody here wrote: nginx, and the one of Python's library.

use crate::host::on;
use std::cell::RefCell;
use std::fs;
use std::pin::Pin;
use std::process::Command;
use std::rc::Rc;
use waitless::dial::DialError;
use waitless::http::client::{Answer, Client, FetchError};
use waitless::http::{Length, Method, Status, Version};
use waitless::task::{Tasks, channel, join, sleep};
use waitless::{Duration, Packet, Pool, Sweep};
use waitless_tests::lab::{Folder, Lab, Running, Tap, tool};
use waitless_tests::live::{Host, Live};

/// Where nginx listens, and Python.
const NGINX: u16 = 8098;
const PYTHON: u16 = 8097;
/// Bytes of a long file.
const LONG: usize = 3_000_000;

pub fn nginx(_: &Lab) {
    let (tap, folder) = (Tap::new(), Folder::new("web"));
    let _server = nginx_in(&folder);
    let mut host = on(&tap, Some(tap.host(2)));
    let base = format!("http://{}:{NGINX}", tap.address);
    let pool = host.cx.pool();
    during(&mut host, move |client| async move {
        await_server(client, &base).await;
        answers(client, &base).await;
        uploads(client, &base, pool).await;
        ends(client, &base).await;
    });
    let count = |name| host.counter("fetch", name);
    assert_eq!(count("malformed"), 0);
    assert!(count("reused") > count("connected"), "connections are kept");
    assert_eq!(count("retried"), 0, "one that nginx has closed is not used");
    host.until("the ends of connections", |host| (host.counter("dial", "open") == 0).then_some(()));
}

pub fn python(_: &Lab) {
    let (tap, folder) = (Tap::new(), Folder::new("web"));
    files_in(&folder);
    let mut command = Command::new(tool("python3").expect("python3 is there"));
    command.args(["-u", "-m", "http.server", &PYTHON.to_string(), "--directory"]);
    let _server = Running::start({
        command.arg(folder.path());
        command
    });
    let mut host = on(&tap, Some(tap.host(2)));
    let base = format!("http://{}:{PYTHON}", tap.address);
    during(&mut host, move |client| async move {
        await_server(client, &base).await;
        let mut answer = get(client, &format!("{base}/short.txt")).await;
        assert_eq!((answer.status(), answer.version()), (Status::OK, Version::Http10));
        assert_eq!(answer.text(100).await.expect("it is short"), "short\n");
        let long = get(client, &format!("{base}/long")).await.collect(LONG).await;
        assert_eq!(long.expect("all of it").len(), LONG);
        // A folder without a slash leads to the one with it, which is a page made on the spot.
        let folder = format!("{base}/folder");
        let fetch = client.fetch(Method::Get, &folder).redirects(1);
        let mut answer = fetch.send().await.expect("it leads on");
        let page = answer.text(10_000).await.expect("a page");
        assert!(page.contains("inside.txt"), "{page}");
        assert_eq!(get(client, &format!("{base}/nothing")).await.status(), Status::NOT_FOUND);
        let post = client.fetch(Method::Post, &base).body("text/plain", "hello").send().await;
        assert_eq!(post.expect("an answer").status().code(), 501);
    });
    assert_eq!(host.counter("fetch", "malformed"), 0);
}

/// Every way in which nginx ends a body.
async fn answers(client: &'static Client, base: &str) {
    for _ in 0..3 {
        let mut answer = get(client, &format!("{base}/short.txt")).await;
        assert_eq!((answer.status(), answer.header("Server")), (Status::OK, Some("nginx")));
        assert_eq!(answer.text(100).await.expect("it is short"), "short\n");
    }
    let mut long = get(client, &format!("{base}/long")).await;
    let mut came = 0;
    while let Some(packet) = long.chunk().await.expect("all of it comes") {
        assert!((came..).zip(packet.bytes()).all(|(at, byte)| *byte == (at % 251) as u8));
        came += packet.len();
    }
    assert_eq!(came, LONG);
    // What is put together on the spot comes in chunks.
    let mut made = get(client, &format!("{base}/made.shtml")).await;
    assert_eq!(made.header("Transfer-Encoding"), Some("chunked"));
    assert_eq!(made.text(100).await.expect("it is short"), "made: GET\n");
    let url = format!("{base}/short.txt");
    let head = client.fetch(Method::Head, &url).send().await.expect("a head");
    assert_eq!((head.header("Content-Length"), head.status()), (Some("6"), Status::OK));
    let since = head.header("Last-Modified").expect("a date").to_owned();
    let fetch = client.fetch(Method::Get, &url).header("If-Modified-Since", since);
    let same = fetch.send().await.expect("a head");
    assert_eq!(same.status(), Status::NOT_MODIFIED);
    assert_eq!(get(client, &format!("{base}/none")).await.status(), Status::NO_CONTENT);
    let fetch = client.fetch(Method::Get, &url).header("Range", "bytes=1-2");
    let mut part = fetch.send().await.expect("a part");
    assert_eq!(part.status(), Status::PARTIAL_CONTENT);
    assert_eq!(part.text(100).await.expect("it is short"), "ho");
    let elsewhere = format!("{base}/elsewhere");
    let fetch = client.fetch(Method::Get, &elsewhere).redirects(2);
    let mut led = fetch.send().await.expect("it leads on");
    assert_eq!(led.text(100).await.expect("it is short"), "short\n");
    let round = format!("{base}/round");
    let outcome = client.fetch(Method::Get, &round).redirects(4).send().await;
    assert_eq!(outcome.err(), Some(FetchError::RedirectsTooMany(4)));
}

/// Bodies of a known length, in chunks, on a word, and one that is too long.
async fn uploads(client: &'static Client, base: &str, pool: Pool) {
    let url = format!("{base}/put/whole");
    let sent = client.fetch(Method::Put, &url).body("text/plain", "hello\n").send().await;
    assert_eq!(sent.expect("an answer").status(), Status::CREATED);
    assert_eq!(get(client, &url).await.text(100).await.expect("it is short"), "hello\n");
    for (name, length, waits) in [
        ("chunks", Length::Unknown, false),
        ("length", Length::Known(LONG as u64), false),
        ("word", Length::Unknown, true),
    ] {
        let url = format!("{base}/put/{name}");
        let (sender, receiver) = channel(4);
        let give = async move {
            let mut left = LONG;
            while left > 0 {
                let Some(mut packet) = pool.packet() else {
                    sleep(Duration::from_millis(1)).await;
                    continue;
                };
                let count = left.min(1300);
                packet.extend(count).expect("a buffer is longer").fill(b'u');
                left -= count;
                sender.send(packet).await.expect("it is taken");
            }
        };
        let fetch = client.fetch(Method::Put, &url).stream(receiver, length);
        let fetch = if waits { fetch.expect_continue() } else { fetch };
        let ((), sent) = join(give, fetch.send()).await;
        assert_eq!(sent.expect("an answer").status(), Status::CREATED, "{name}");
        let back = get(client, &url).await.collect(LONG).await.expect("all of it");
        assert!(back.len() == LONG && back.iter().all(|byte| *byte == b'u'), "{name}");
    }
    let url = format!("{base}/put/long");
    let (_sender, receiver) = channel::<Packet>(1);
    let fetch = client.fetch(Method::Put, &url).stream(receiver, Length::Known(1 << 30));
    let refused = fetch.expect_continue().send().await.expect("an answer");
    assert_eq!(refused.status(), Status::CONTENT_TOO_LARGE);
}

/// A server that closes what is kept, and one that closes at once.
async fn ends(client: &'static Client, base: &str) {
    let url = format!("{base}/closed");
    let mut closed = client.fetch(Method::Get, &url).send().await.expect("a head");
    assert_eq!(closed.header("Connection"), Some("close"));
    assert_eq!(closed.text(100).await.expect("it is short"), "short\n");
    let outcome = client.fetch(Method::Get, &format!("{base}/cut")).send().await;
    let Err(FetchError::Closed { .. } | FetchError::Broken(_)) = outcome else {
        panic!("there is no answer: {outcome:?}");
    };
    // nginx keeps a connection for two seconds here.
    get(client, &format!("{base}/none")).await;
    sleep(Duration::from_millis(3_500)).await;
    assert_eq!(get(client, &format!("{base}/none")).await.status(), Status::NO_CONTENT);
}

async fn get(client: &'static Client, url: &str) -> Answer {
    let answer = client.fetch(Method::Get, url).send().await;
    answer.unwrap_or_else(|why| panic!("{url}: {why}"))
}

/// It takes a moment until a server listens.
async fn await_server(client: &'static Client, base: &str) {
    loop {
        match client.fetch(Method::Get, base).send().await {
            Ok(mut answer) => return drop(answer.collect(10_000).await),
            Err(FetchError::Dial(DialError::Refused)) => sleep(Duration::from_millis(50)).await,
            Err(why) => panic!("{base}: {why}"),
        }
    }
}

/// Sweeps until what a handler does is done.
#[track_caller]
pub fn during<G: Sweep, F: Future<Output = ()> + 'static>(
    host: &mut Host<G>,
    work: impl FnOnce(&'static Client) -> F,
) {
    let done = Rc::new(RefCell::new(false));
    let (tell, work) = (Rc::clone(&done), work(host.cx.system().client().expect("it fetches")));
    let mut tasks: Tasks<Pin<Box<dyn Future<Output = ()>>>> = Tasks::new(1);
    tasks.grow().expect("room for a task");
    let all = async move {
        work.await;
        *tell.borrow_mut() = true;
    };
    tasks.start(0, Box::pin(all));
    host.until("a handler", |host| {
        tasks.scheduler().advance(host.cx.now(), 8);
        tasks.run(8);
        (*done.borrow()).then_some(())
    });
}

/// What both servers serve.
#[track_caller]
fn files_in(folder: &Folder) {
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder");
        fs::write(path, bytes).expect("a file");
    };
    put("short.txt", b"short\n");
    put("long", &(0..LONG).map(|at| (at % 251) as u8).collect::<Vec<_>>());
    put("made.shtml", b"made: <!--#echo var=\"request_method\" -->\n");
    put("folder/inside.txt", b"inside\n");
    put("put/.keep", b"");
}

/// nginx for the files of `folder`, in the foreground.
#[track_caller]
pub fn nginx_in(folder: &Folder) -> Running {
    files_in(folder);
    let path = folder.path().display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {path}/tmp-{kind};"))
        .join("\n");
    let text = format!(
        "daemon off;\nmaster_process off;\nuser root;\npid {path}/pid;\nerror_log stderr;\n\
         events {{}}\nhttp {{\naccess_log off;\nserver_tokens off;\nkeepalive_timeout 2s;\n\
         {temporary}\nserver {{\nlisten {NGINX};\nlisten [::]:{NGINX};\nroot {path};\n\
         client_max_body_size 8m;\nabsolute_redirect off;\n\
         location = / {{ return 200 ready; }}\n\
         location = /made.shtml {{ ssi on; ssi_types *; }}\n\
         location = /none {{ return 204; }}\n\
         location = /cut {{ return 444; }}\n\
         location = /elsewhere {{ return 302 /short.txt; }}\n\
         location = /round {{ return 307 /round; }}\n\
         location = /closed {{ keepalive_timeout 0; try_files /short.txt =404; }}\n\
         location /put/ {{ dav_methods PUT; }}\n}}\n}}\n"
    );
    let file = folder.path().join("nginx.conf");
    fs::write(&file, text).expect("a configuration");
    let mut command = Command::new(tool("nginx").expect("nginx is there"));
    command.arg("-p").arg(folder.path()).arg("-c").arg(&file).args(["-e", "stderr"]);
    Running::start(command)
}
