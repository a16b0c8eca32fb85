//! [`Marks`]: where the primary was, and when.

use std::collections::VecDeque;
use std::time::Instant;

/// As many are kept; one a second while nothing is written by us, so that a lag of minutes is still known exactly.
const MOST: usize = 512;

/// Everything that was committed before `at`, the first `writes` of this process among it, lies before `log`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) at: Instant,
    pub(super) writes: u64,
    pub(super) log: u64,
}

/// The latest marks, in their order.
#[derive(Default)]
pub(super) struct Marks(VecDeque<Mark>);

impl Marks {
    pub(super) fn add(&mut self, mark: Mark) {
        // The same place later says more. An earlier place is another primary's: what was known of the old one is void.
        while self.0.back().is_some_and(|last| last.log >= mark.log) {
            self.0.pop_back();
        }
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(mark);
    }

    /// The last mark that lies within what a server at this place has.
    pub(super) fn reached(&self, log: u64) -> Option<Mark> {
        let count = self.0.partition_point(|mark| mark.log <= log);
        count.checked_sub(1).map(|last| self.0[last])
    }

    pub(super) fn last(&self) -> Option<Mark> {
        self.0.back().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_server_has_reached_the_last_mark_that_is_not_beyond_it() {
        let start = Instant::now();
        let mark = |second: u64, writes, log| Mark { at: start + Duration::from_secs(second), writes, log };
        let mut marks = Marks::default();
        assert!(marks.reached(u64::MAX).is_none());
        for one in [mark(0, 0, 100), mark(1, 1, 200), mark(2, 1, 200), mark(3, 2, 300)] {
            marks.add(one);
        }
        let reached = |log| marks.reached(log).map(|mark| ((mark.at - start).as_secs(), mark.writes));
        assert_eq!(reached(99), None);
        assert_eq!(reached(100), Some((0, 0)));
        assert_eq!(reached(299), Some((2, 1)));
        assert_eq!(reached(300), Some((3, 2)));
    }

    #[test]
    fn the_oldest_marks_go_first() {
        let mut marks = Marks::default();
        for log in 0..=MOST as u64 {
            marks.add(Mark { at: Instant::now(), writes: log, log });
        }
        assert!(marks.reached(0).is_none());
        assert_eq!(marks.reached(1).map(|mark| mark.writes), Some(1));
    }
}
