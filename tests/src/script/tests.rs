//! That scripts say where they are wrong, and that a wrong one fails.

use super::syntax::{Action, Base, TcpOption};
use super::{Mistake, parse, run};
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
    assert!(mistake.what.contains(part), "{mistake:?}");
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
        ("+0 < udp (10)", 1, "only segments"),
    ] {
        let mistake = parse(text).expect_err(text);
        assert_eq!(mistake.line, line, "{mistake:?}");
        assert!(mistake.what.contains(part), "{mistake:?}");
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
