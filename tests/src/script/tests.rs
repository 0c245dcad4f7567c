//! That scripts say where they are wrong, and that a wrong one fails.

use super::syntax::{Action, Base, TcpOption};
use super::{Mistake, Problem, parse, run, run_foreign};
use waitless::Duration;

const OPEN: &str = "--ecn=false
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   bind(3, ..., ...) = 0
+0   listen(3, 1) = 0
+0   < S 0:0(0) win 1000 <mss 1000>
+0   > S. 0:0(0) ack 1 <mss 1460>
+.1  < . 1:1(0) ack 1 win 1000
+0   accept(3, ..., ...) = 4
";

#[track_caller]
fn outcome(more: &str) -> Result<(), Mistake> {
    run(&parse(&format!("{OPEN}{more}")).expect("a script"))
}

#[track_caller]
fn fails(more: &str, line: usize, part: &str) {
    let mistake = outcome(more).expect_err("it must fail");
    assert_eq!(mistake.line, line, "{mistake:?}");
    assert!(mistake.problem.to_string().contains(part), "{mistake:?}");
}

#[test]
fn every_kind_of_event_is_understood() {
    let text = "`./defaults.sh`
/* a comment
   of two lines */
+.1~+.2 > [ect0] P. 1:1001(1000) ack 1 win 5 <nop,nop,TS val 7 ecr 8,sack 1:2 3:4>
0.5   < 4001>80 SEW 0:0(0) win 0x10 <kind 253 0x01 0x02> // and this
*     > R. 1:1(0) ack 2 <...>
+0    < icmp unreachable frag_needed mtu 1300 [1:1001(1000)]
+0    fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0x2 (flags)
+0    connect(3, {sa_family = AF_INET, port = 8080}, ...) = -1 EINPROGRESS (in progress)
+0    %{ timeouts == 1 }%
";
    let script = parse(text).expect("a script");
    let lines: Vec<usize> = script.events.iter().map(|event| event.line).collect();
    assert_eq!(lines, [4, 5, 6, 7, 8, 9, 10]);
    let [first, second, third, .., call, _] = &script.events[..] else { panic!("seven events") };
    assert_eq!(first.time.from, Base::Before(Duration::from_millis(100)));
    assert_eq!(first.time.until, Some(Duration::from_millis(200)));
    let Action::Sends(segment) = &first.action else { panic!("{first:?}") };
    let ranges = TcpOption::Sack(vec![(1, 2), (3, 4)]);
    assert_eq!(segment.options.as_deref().and_then(|all| all.last()), Some(&ranges));
    assert_eq!((segment.mark, segment.flags, segment.length), (Some(2), 0x18, 1000));
    let Action::Arrives(segment) = &second.action else { panic!("{second:?}") };
    assert_eq!((segment.ports, segment.flags), (Some((4001, 80)), 0xc2));
    let Action::Sends(segment) = &third.action else { panic!("{third:?}") };
    assert_eq!((third.time.from, segment.options.as_ref()), (Base::Any, None));
    let Action::Call(call) = &call.action else { panic!("{call:?}") };
    assert_eq!((call.arguments.len(), call.result), (3, Some(-1)));
    assert_eq!(call.error.as_deref(), Some("EINPROGRESS"));
}

#[test]
fn what_is_no_script_is_refused_with_its_line() {
    for (text, line, part) in [
        ("\n+0 > Z 0:0(0)", 2, "no control bit"),
        ("+0 > . 0:1(0)", 1, "the length"),
        ("+0 > . 0:0(0) ack x", 1, "expected a number"),
        ("+0 < S 0:0(0) <what 1>", 1, "`what` is not supported"),
        ("soon socket() = 3", 1, "expected a time"),
        ("+0 socket(", 1, "no `)`"),
        ("+0 < udp (10)", 1, "neither TCP"),
    ] {
        let mistake = parse(text).expect_err(text);
        assert_eq!(mistake.line, line, "{mistake:?}");
        assert!(mistake.problem.to_string().contains(part), "{mistake:?}");
    }
}

#[test]
fn what_is_as_expected_passes() {
    outcome("+0 < P. 1:6(5) ack 1 win 1000\n+0 > . 1:1(0) ack 6\n+0 read(4, ..., 9) = 5\n")
        .expect("all is as expected");
}

#[test]
fn what_is_not_as_expected_fails_in_its_line() {
    let write = "+0 write(4, ..., 5) = 5\n";
    fails(&format!("{write}+0 > P. 1:6(5) ack 2\n"), 10, "the acknowledgement");
    fails(&format!("{write}+0 > . 1:6(5) ack 1\n"), 10, "the control bits");
    fails(&format!("{write}+0 > P. 1:6(5) ack 1 <mss 5>\n"), 10, "the options");
    fails(&format!("{write}+.1 > P. 1:6(5) ack 1\n"), 10, "earlier than");
    fails(&format!("{write}+0 > P. 1:6(5) ack 1\n+0 > . 6:6(0) ack 1\n"), 11, "nothing was sent");
    fails(write, 9, "no line expects");
    fails(&format!("{write}+.1 read(4, ..., 5) = 5\n"), 10, "no line expects");
    fails("+0 read(4, ..., 5) = 5\n", 9, "gives EAGAIN, not 5");
    fails("+0 %{ accepted == 2 }%\n", 9, "it is 1");
    fails("+0 %{ nothing == 2 }%\n", 9, "no `nothing`");
    fails("+0 poll(4, ..., 5) = 5\n", 9, "not supported");
}

/// What a script for another stack begins with.
const OTHERS: &str = "--tolerance_usecs=10000
`sysctl -q net.ipv4.tcp_timestamps=1`
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   bind(3, ..., ...) = 0
+0   listen(3, 1) = 0
+0   < S 0:0(0) win 1000 <mss 1000,sackOK,nop,nop,nop,wscale 7>
+0   > S. 0:0(0) ack 1 <wscale 1,mss 1460,sackOK>
+.1  < . 1:1(0) ack 1 win 1000
";

#[track_caller]
fn outcome_of_others(more: &str) -> Result<(), Mistake> {
    run_foreign(&parse(&format!("{OTHERS}{more}"))?, &[])
}

#[track_caller]
fn fails_for_others(more: &str, problem: fn(String) -> Problem, part: &str) {
    let mistake = outcome_of_others(more).expect_err("it must fail");
    let what = mistake.problem.to_string();
    assert!(what.contains(part), "{mistake:?}");
    let inner = match &mistake.problem {
        Problem::Differs(inner) | Problem::Unsupported(inner) => inner.clone(),
    };
    assert_eq!(mistake.problem, problem(inner));
}

#[test]
fn what_others_cannot_know_is_not_compared() {
    // Neither the window nor PSH nor where segments end; nor what acknowledges earlier, nor
    // what no line looks at.
    outcome_of_others(
        "+0 accept(3, ..., ...) = 4
+0   write(4, ..., 2000) = 2000
+0   > . 1:701(700) ack 1 win 7
+0   > P. 701:2001(1300) ack 1
+0   < P. 1:11(10) ack 2001 win 1000
+0   < P. 11:21(10) ack 2001 win 1000
+0   > . 2001:2001(0) ack 21
+0   read(4, ..., 3) = 3
+0   recv(4, ..., 100, MSG_PEEK) = 17
+0   %{ assert tcpi_snd_mss == 1000, tcpi_snd_mss; assert tcpi_snd_cwnd == 3 }%
+0   < F. 21:21(0) ack 2001 win 1000
",
    )
    .expect("it is as far alike as it can be");
}

#[test]
fn what_others_do_know_is_compared() {
    let differs = Problem::Differs;
    let open = "+0 accept(3, ..., ...) = 4\n+0 write(4, ..., 500) = 500\n";
    fails_for_others(&format!("{open}+0 > P. 1:501(500) ack 2\n"), differs, "the acknowledgement");
    fails_for_others(&format!("{open}+0 > P. 1:501(500) ack 1 <mss 3>\n"), differs, "the options");
    fails_for_others(&format!("{open}+.2 > P. 1:501(500) ack 1\n"), differs, "earlier than");
    fails_for_others(
        &format!("{open}+0 %{{ assert tcpi_snd_mss == 3 }}%\n"),
        differs,
        "it is 1000",
    );
    fails_for_others("+0 getsockopt(3, SOL_SOCKET, SO_ERROR, [EPIPE], [4]) = 0\n", differs, "is 0");
}

#[test]
fn what_is_not_here_is_named() {
    let unsupported = Problem::Unsupported;
    for (more, part) in [
        ("+0 epoll_create(1) = 5\n", "`epoll_create`"),
        ("+0 setsockopt(3, SOL_TCP, TCP_CORK, [1], 4) = 0\n", "`TCP_CORK`"),
        ("+0 < S 0:0(0) win 1 <FO abcd>\n", "TCP Fast Open"),
        ("+0 < . 1:1(0) ack 1 win 1 <md5 00>\n", "MD5"),
        ("+0 `ip route add 10.0.0.0/8 dev tun0`\n", "`ip route`"),
    ] {
        fails_for_others(more, unsupported, part);
    }
    let script = parse("`sysctl net.inet.tcp.insecure_rst=1`\n0 socket(...) = 3\n");
    let refused = run_foreign(&script.expect("a script"), &[]).expect_err("that is not here");
    assert!(refused.problem.to_string().contains("before RFC 5961"), "{refused:?}");
    let script = parse("0 socket(...) = 3\n").expect("a script");
    let keys = [("delayed-ack".to_owned(), "soon".to_owned())];
    assert!(run_foreign(&script, &keys).is_err());
}

#[test]
fn calls_may_wait_as_long_as_they_say() {
    let comes = "+.1 < P. 1:11(10) ack 1 win 1000\n";
    let waits = |until: &str| {
        outcome_of_others(&format!(
            "+0 accept(3, ..., ...) = 4\n+0...{until} read(4, ..., 10) = 10\n{comes}"
        ))
    };
    waits("0.110").expect("it returns with what comes");
    let late = waits("0.050").expect_err("it must have returned");
    assert!(late.problem.to_string().contains("still waits"), "{late:?}");
    let never = outcome_of_others("+0 accept(3, ..., ...) = 4\n+0...0.1 read(4, ..., 9) = 9\n");
    assert!(never.is_err());
}

#[test]
fn of_several_stacks_the_standard_is_meant() {
    let text = "#ifdef FreeBSD\n+0 what is this\n#endif\n#ifdef STANDARD\n+0 close(3) = 0\n#else
+0 nor this\n#endif\n#ifndef STANDARD\n+0 nor that\n#endif\n+1 socket(...) = 3\n";
    let script = parse(text).expect("a script");
    let lines: Vec<usize> = script.events.iter().map(|event| event.line).collect();
    assert_eq!(lines, [5, 12]);
}

#[test]
fn the_same_runs_over_ipv6() {
    let text = "--ip_version=ipv6\n0 socket(...) = 3
+0 fcntl(3, F_SETFL, O_RDWR | O_NONBLOCK) = 0
+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+0 > S 0:0(0) <mss 1440,sackOK,TS val 100 ecr 0,nop,wscale 8>
+.1 < icmp unreachable port_unreachable [0:0(0)]
+0 getsockopt(3, SOL_SOCKET, SO_ERROR, [EHOSTUNREACH], [4]) = 0
+0 getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0
";
    run_foreign(&parse(text).expect("a script"), &[]).expect("it runs");
}
