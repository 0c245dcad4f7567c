//! Programs that tests start, and that end with the value that stands for them.

use std::env;
use std::fmt;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Ids of everything that runs, for when a test hangs.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// A program that runs; dropping it ends it.
pub struct Running {
    name: String,
    child: Child,
    output: Arc<Mutex<String>>,
    status: Option<ExitStatus>,
}

/// What a program that has ended said.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub output: String,
    /// Its standard error.
    pub errors: String,
}

impl Running {
    /// Starts `command`, collecting what it prints on both outputs.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let name = command.get_program().display().to_string();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let output = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take(), &output);
        collect(child.stderr.take(), &output);
        lock(&RUNNING).push(child.id());
        Self { name, child, output, status: None }
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        lock(&self.output).clone()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input.
    pub fn input(&mut self) -> Option<&mut ChildStdin> {
        self.child.stdin.as_mut()
    }

    /// How it ended; `None` while it runs.
    pub fn status(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("a child can be waited for");
        }
        self.status
    }

    /// Waits until it has printed `text`, and gives all of its output.
    #[track_caller]
    pub fn expect_output(&mut self, text: &str, patience: Duration) -> String {
        let start = Instant::now();
        loop {
            let ended = self.status();
            if ended.is_some() {
                // What it printed last may still be on its way through the pipe.
                thread::sleep(Duration::from_millis(100));
            }
            let output = self.output();
            if output.contains(text) {
                return output;
            }
            let (name, waited) = (&self.name, start.elapsed());
            assert!(ended.is_none(), "{name} ended ({ended:?}) without {text:?}:\n{output}");
            assert!(waited < patience, "{name} did not say {text:?} in {waited:?}:\n{output}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for its end.
    #[track_caller]
    pub fn expect_end(&mut self, patience: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.status() {
                // What it printed last may still be on its way through the pipe.
                thread::sleep(Duration::from_millis(50));
                return status;
            }
            let name = &self.name;
            assert!(start.elapsed() < patience, "{name} still runs:\n{}", self.output());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        run("kill", &["-s", name, &self.id().to_string()]);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.status().is_none() {
            // It may have ended in between; then there is nothing to kill.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        lock(&RUNNING).retain(|id| *id != self.child.id());
        if thread::panicking() {
            println!("--- {} ---\n{}\n---", self.name, self.output());
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.id())
    }
}

/// Ends every program that is still running, by its id.
pub fn end_all() {
    for id in lock(&RUNNING).drain(..) {
        let _ = Command::new("kill").args(["-s", "KILL", &id.to_string()]).status();
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>, output: &Arc<Mutex<String>>) {
    let Some(mut pipe) = pipe else { return };
    let output = Arc::clone(output);
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut bytes) {
            lock(&output).push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    });
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a program to its end and gives its output; panics when it fails.
#[track_caller]
pub fn run(program: &str, arguments: &[&str]) -> String {
    let finished = run_in(Path::new("."), program, arguments, b"");
    assert!(finished.status.success(), "{program} {arguments:?} failed: {finished:#?}");
    finished.output
}

/// Runs a program to its end in `folder`, with `input` to read.
#[track_caller]
pub fn run_in(folder: &Path, program: &str, arguments: &[&str], input: &[u8]) -> Finished {
    let path = tool(program).unwrap_or_else(|| PathBuf::from(program));
    let mut child = Command::new(path)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut stdin = child.stdin.take().expect("it was piped");
    let input = input.to_vec();
    // A program that does not read all of its input is no error.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("a child can be waited for");
    writer.join().expect("writing does not panic");
    Finished {
        status: output.status,
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Where the program `name` is: in `PATH`, where administrators' programs are, or where setup
/// unpacks services that it does not install.
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    let unpacked = cache.map(|cache| cache.join("waitless/programs"));
    let more = ["/usr/sbin".into(), "/sbin".into()].into_iter().chain(unpacked);
    env::split_paths(&path).chain(more).map(|folder| folder.join(name)).find(|file| file.is_file())
}
