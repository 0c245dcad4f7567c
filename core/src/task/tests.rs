//! Tests with virtual time.

extern crate std;

use super::*;
use crate::{Duration, Instant};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Poll, Waker};

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

/// Tasks of any type, and a log of what they did.
struct Bench {
    tasks: Tasks<Boxed>,
    log: Rc<RefCell<Vec<(u64, &'static str)>>>,
    started: u32,
}

impl Bench {
    fn new() -> Self {
        Self { tasks: Tasks::new(128), log: Rc::default(), started: 0 }
    }

    fn log(&self) -> impl Fn(&'static str) + use<> {
        let (log, scheduler) = (self.log.clone(), self.tasks.scheduler());
        move |what| log.borrow_mut().push((scheduler.now().as_millis(), what))
    }

    fn start(&mut self, future: impl Future<Output = ()> + 'static) -> u32 {
        self.tasks.grow().unwrap();
        self.tasks.start(self.started, Box::pin(future));
        self.started += 1;
        self.started - 1
    }

    /// Runs at every deadline until `millis` after the start.
    fn run_until(&mut self, millis: u64) {
        let scheduler = self.tasks.scheduler();
        let end = Instant::ZERO + Duration::from_millis(millis);
        loop {
            while self.tasks.run(1) > 0 {}
            let next = scheduler.deadline();
            if next > end {
                scheduler.advance(end, 1000);
                return;
            }
            scheduler.advance(next.max(scheduler.now()), 1000);
        }
    }

    fn seen(&self) -> Vec<(u64, &'static str)> {
        self.log.take()
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn sleepers_wake_in_time_and_leave_no_timers() {
    let mut bench = Bench::new();
    for (time, name) in [(30, "thirty"), (10, "ten"), (20, "twenty"), (0, "zero")] {
        let log = bench.log();
        bench.start(async move {
            sleep(ms(time)).await;
            log(name);
        });
    }
    bench.run_until(25);
    assert_eq!(bench.seen(), [(0, "zero"), (10, "ten"), (20, "twenty")]);
    assert_eq!(bench.tasks.scheduler().timers(), 1);
    bench.run_until(100);
    assert_eq!(bench.seen(), [(30, "thirty")]);
    assert_eq!(bench.tasks.scheduler().timers(), 0);
    assert_eq!(bench.tasks.scheduler().deadline(), Instant::NEVER);
}

#[test]
fn a_task_that_is_stopped_leaves_no_timers() {
    let mut bench = Bench::new();
    let task = bench.start(async {
        let _ = timeout(ms(50), join(sleep(ms(10)), sleep(ms(100)))).await;
    });
    bench.run_until(1);
    assert_eq!(bench.tasks.scheduler().timers(), 3);
    bench.tasks.stop(task);
    assert!(!bench.tasks.is_running(task));
    assert_eq!(bench.tasks.scheduler().timers(), 0);
}

#[test]
fn a_timeout_ends_what_takes_too_long_and_nothing_else() {
    let mut bench = Bench::new();
    let log = bench.log();
    bench.start(async move {
        assert_eq!(timeout(ms(10), sleep(ms(20))).await, Err(Elapsed));
        log("elapsed");
        assert_eq!(timeout(ms(20), sleep(ms(10))).await, Ok(()));
        log("done");
    });
    bench.run_until(100);
    assert_eq!(bench.seen(), [(10, "elapsed"), (20, "done")]);
    assert_eq!(bench.tasks.scheduler().timers(), 0);
}

#[test]
fn an_interval_keeps_its_rhythm_and_skips_what_it_missed() {
    let mut bench = Bench::new();
    let log = bench.log();
    bench.start(async move {
        let mut interval = interval(ms(10));
        interval.tick().await;
        log("first");
        sleep(ms(25)).await;
        assert_eq!(interval.tick().await.as_millis(), 30);
        log("late");
        interval.tick().await;
        log("in step");
    });
    bench.run_until(100);
    assert_eq!(bench.seen(), [(10, "first"), (35, "late"), (40, "in step")]);
}

#[test]
fn an_interval_ticks_however_often_its_wait_is_dropped() {
    let mut bench = Bench::new();
    let log = bench.log();
    bench.start(async move {
        let mut interval = interval(ms(10));
        for _ in 0..6 {
            if let Either::First(due) = select(interval.tick(), sleep(ms(4))).await {
                log(if due.as_millis() == 10 { "first" } else { "second" });
            }
        }
    });
    bench.run_until(100);
    assert_eq!(bench.seen(), [(10, "first"), (20, "second")]);
}

#[test]
fn select_takes_the_first_and_drops_the_other() {
    let mut bench = Bench::new();
    let log = bench.log();
    bench.start(async move {
        match select(sleep(ms(20)), sleep(ms(10))).await {
            Either::First(()) => log("first"),
            Either::Second(()) => log("second"),
        }
    });
    bench.run_until(50);
    assert_eq!(bench.seen(), [(10, "second")]);
    assert_eq!(bench.tasks.scheduler().timers(), 0);
}

#[test]
fn join_waits_for_both() {
    let mut bench = Bench::new();
    let log = bench.log();
    bench.start(async move {
        let both = join(async { 1 }, async { sleep(ms(10)).await });
        assert_eq!(both.await, (1, ()));
        log("both");
    });
    bench.run_until(50);
    assert_eq!(bench.seen(), [(10, "both")]);
}

#[test]
fn ready_tasks_take_turns() {
    let mut bench = Bench::new();
    for name in ["a", "b", "c"] {
        let log = bench.log();
        bench.start(async move {
            for _ in 0..2 {
                log(name);
                yield_now().await;
            }
        });
    }
    bench.run_until(0);
    let names: Vec<_> = bench.seen().into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["a", "b", "c", "a", "b", "c"]);
}

#[test]
fn a_hundred_tasks_all_get_their_turn_however_few_polls_there_are() {
    let mut bench = Bench::new();
    let counts: Rc<[Cell<u32>]> = (0..100).map(|_| Cell::new(0)).collect();
    for index in 0..100 {
        let counts = counts.clone();
        bench.start(async move {
            loop {
                counts[index].set(counts[index].get() + 1);
                yield_now().await;
            }
        });
    }
    for _ in 0..1000 {
        bench.tasks.run(7);
    }
    assert!(counts.iter().all(|count| count.get() == 70));
}

#[test]
fn a_sleep_wakes_the_task_that_polled_it_last() {
    let mut bench = Bench::new();
    let (sender, receiver) = oneshot();
    bench.start(async move {
        let mut asleep = Box::pin(sleep(ms(20)));
        assert!(matches!(select(&mut asleep, sleep(ms(5))).await, Either::Second(())));
        assert!(sender.send(asleep).is_ok());
        core::future::pending::<()>().await;
    });
    let log = bench.log();
    bench.start(async move {
        receiver.recv().await.unwrap().await;
        log("awake");
    });
    bench.run_until(50);
    assert_eq!(bench.seen(), [(20, "awake")]);
}

#[test]
fn a_channel_is_bounded_and_ends_with_its_senders() {
    let mut bench = Bench::new();
    let (sender, mut receiver) = channel(2);
    for start in [0, 100] {
        let sender = sender.clone();
        bench.start(async move {
            for value in start..start + 10 {
                sender.send(value).await.unwrap();
            }
        });
    }
    drop(sender);
    let log = bench.log();
    bench.start(async move {
        let mut seen = Vec::new();
        while let Some(value) = receiver.recv().await {
            sleep(ms(1)).await;
            seen.push(value);
        }
        seen.sort_unstable();
        assert!(seen.into_iter().eq((0..10).chain(100..110)));
        log("all");
    });
    bench.run_until(100);
    assert_eq!(bench.seen().len(), 1);
}

#[test]
fn a_sender_that_was_cancelled_takes_nobodys_wake_up() {
    let mut bench = Bench::new();
    let (sender, mut receiver) = channel(1);
    sender.try_send(0).unwrap();
    let (first, second) = (sender.clone(), sender);
    bench.start(async move {
        assert!(matches!(select(first.send(1), sleep(ms(5))).await, Either::Second(())));
        core::future::pending::<()>().await;
    });
    let log = bench.log();
    bench.start(async move {
        second.send(2).await.unwrap();
        log("sent");
    });
    bench.start(async move {
        sleep(ms(10)).await;
        assert_eq!((receiver.recv().await, receiver.recv().await), (Some(0), Some(2)));
    });
    bench.run_until(50);
    assert_eq!(bench.seen(), [(10, "sent")]);
}

#[test]
fn a_channel_without_a_receiver_gives_values_back() {
    let (sender, receiver) = channel(1);
    assert_eq!(sender.try_send(1), Ok(()));
    assert_eq!(sender.try_send(2), Err(Refused::Full(2)));
    drop(receiver);
    assert_eq!(sender.try_send(3), Err(Refused::Closed(3)));
    let (sender, receiver) = oneshot();
    drop(receiver);
    assert_eq!(sender.send(1), Err(1));
}

#[test]
fn a_oneshot_brings_its_value_or_none() {
    let mut bench = Bench::new();
    let ((sender, receiver), (dropped, orphan)) = (oneshot(), oneshot::<u8>());
    let log = bench.log();
    bench.start(async move {
        assert_eq!(receiver.recv().await, Some("value"));
        assert_eq!(orphan.recv().await, None);
        log("both");
    });
    bench.start(async move {
        sleep(ms(5)).await;
        sender.send("value").unwrap();
        sleep(ms(5)).await;
        drop(dropped);
    });
    bench.run_until(50);
    assert_eq!(bench.seen(), [(10, "both")]);
}

#[test]
fn a_waker_wakes_from_another_thread() {
    let mut bench = Bench::new();
    let slot: Rc<RefCell<Option<Waker>>> = Rc::default();
    let (place, log) = (slot.clone(), bench.log());
    bench.start(async move {
        let mut polls = 0;
        poll_fn(|cx| {
            polls += 1;
            *place.borrow_mut() = Some(cx.waker().clone());
            if polls == 3 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        log("woken twice");
    });
    let scheduler = bench.tasks.scheduler();
    bench.run_until(0);
    for by_value in [false, true] {
        assert_eq!(scheduler.deadline(), Instant::NEVER);
        let waker = slot.take().unwrap();
        let wake = move || if by_value { waker.wake() } else { waker.wake_by_ref() };
        std::thread::spawn(wake).join().unwrap();
        assert_eq!(scheduler.deadline(), Instant::ZERO);
        scheduler.advance(Instant::ZERO, 10);
        bench.tasks.run(10);
    }
    assert_eq!(bench.seen().len(), 1);
}

#[test]
fn a_clone_of_a_waker_is_no_task() {
    let mut bench = Bench::new();
    bench.start(poll_fn(|cx| {
        assert_eq!(Task::current(cx).map(Task::index), Some(0));
        let clone = cx.waker().clone();
        let other = core::task::Context::from_waker(&clone);
        assert!(Task::current(&other).is_none());
        assert!(Task::current(&core::task::Context::from_waker(Waker::noop())).is_none());
        Poll::Ready(())
    }));
    assert_eq!(bench.tasks.run(10), 1);
    assert!(!bench.tasks.is_running(0));
}

#[test]
fn places_are_used_again_and_never_more_than_there_may_be() {
    let mut tasks: Tasks<core::future::Ready<()>> = Tasks::new(2);
    assert!(tasks.grow().is_some() && tasks.grow().is_some() && tasks.grow().is_none());
    for _ in 0..10 {
        tasks.start(1, core::future::ready(()));
        assert_eq!(tasks.run(10), 1);
        assert!(!tasks.is_running(1));
    }
    tasks.start(7, core::future::ready(()));
    assert!(!tasks.poll(7) && !tasks.poll(0));
    assert_eq!(tasks.run(10), 0);
}

/// Is done after some polls, all of them where the first one was.
struct Still {
    polls: Cell<u32>,
    at: Cell<Option<usize>>,
    dropped: Rc<Cell<u32>>,
    _stays: core::marker::PhantomPinned,
}

impl Future for Still {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut core::task::Context<'_>) -> Poll<()> {
        let here = core::ptr::from_ref(&*self).addr();
        assert_eq!(*self.at.get().get_or_insert(here), here, "it was moved");
        self.at.set(Some(here));
        self.polls.set(self.polls.get() - 1);
        if self.polls.get() == 0 { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        self.dropped.set(self.dropped.get() + 1);
    }
}

#[test]
fn what_is_made_in_its_room_stays_there_and_is_dropped_once() {
    type Ready = core::future::Ready<()>;
    let dropped = Rc::new(Cell::new(0));
    let still = |polls| Still {
        polls: Cell::new(polls),
        at: Cell::new(None),
        dropped: dropped.clone(),
        _stays: core::marker::PhantomPinned,
    };
    let mut tasks: Tasks<OneOf<Still, OneOf<Still, Ready>>> = Tasks::new(100);
    (0..3).for_each(|_| _ = tasks.grow());
    let begun = [
        tasks.begin(0, |room| room.first(|room| room.put(still(2)))),
        tasks.begin(1, |room| room.second(|room| room.first(|room| room.put(still(3))))),
        tasks.begin(2, |room| {
            room.second(|room| room.second(|room| room.put(core::future::ready(()))))
        }),
    ];
    assert_eq!(begun, [false, false, true]);
    // The places move, and what is in them does not.
    (3..100).for_each(|_| _ = tasks.grow());
    assert_eq!([0, 1, 2].map(|index| tasks.poll(index)), [true, false, false]);
    assert_eq!(dropped.get(), 1);
    // One that is stopped, one that another takes the place of, and one that is left.
    tasks.stop(1);
    tasks.stop(1);
    assert_eq!(dropped.get(), 2);
    assert!(!tasks.begin(1, |room| room.first(|room| room.put(still(9)))));
    assert!(!tasks.begin(1, |room| room.first(|room| room.put(still(9)))));
    assert_eq!((dropped.get(), tasks.is_running(1), tasks.is_running(2)), (3, true, false));
    drop(tasks);
    assert_eq!(dropped.get(), 4);
}

#[test]
#[should_panic(expected = "must be polled by a Waitless task")]
fn a_sleep_elsewhere_says_what_is_wrong() {
    let mut cx = core::task::Context::from_waker(Waker::noop());
    let _ = core::pin::pin!(sleep(ms(1))).poll(&mut cx);
}
