//! The points of a build that has them.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

use super::Point;

/// The variable that chooses what happens.
pub const VARIABLE: Option<&str> = Some(NAME);
const NAME: &str = "STOWPLAN_FAILPOINTS";
/// How often a held thread looks whether it is let go.
const LOOK_EVERY: Duration = Duration::from_millis(2);

impl Point {
    const ALL: [Self; 8] = [
        Self::Looked,
        Self::Planned,
        Self::Committed,
        Self::Writing,
        Self::Durable,
        Self::Submitted,
        Self::Taken,
        Self::Reported,
    ];

    /// Its name in the variable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Looked => "looked",
            Self::Planned => "planned",
            Self::Committed => "committed",
            Self::Writing => "writing",
            Self::Durable => "durable",
            Self::Submitted => "submitted",
            Self::Taken => "taken",
            Self::Reported => "reported",
        }
    }
}

/// What happens where.
#[derive(Debug)]
pub struct Points {
    rules: Vec<Rule>,
    in_hand: AtomicUsize,
}

/// What was written is no rule.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is none of POINT=kill[@N], POINT=hold[@N]:FILE, POINT=delay[@N]:MS with a point of {points}",
    points = Point::ALL.map(Point::as_str).join(", ")
)]
pub struct BadPoints(String);

#[derive(Debug)]
struct Rule {
    point: Point,
    deed: Deed,
    /// The passing at which it happens; a delay from then on.
    at: usize,
    passed: AtomicUsize,
}

#[derive(Debug, PartialEq, Eq)]
enum Deed {
    Kill,
    Hold(PathBuf),
    Delay(Duration),
}

static OF_THE_PROCESS: LazyLock<Points> = LazyLock::new(|| {
    let text = std::env::var(NAME).unwrap_or_default();
    text.parse().unwrap_or_else(|bad| {
        eprintln!("error: {NAME}: {bad}");
        std::process::exit(2)
    })
});

thread_local! {
    static OF_THE_THREAD: RefCell<Option<Rc<Points>>> = const { RefCell::new(None) };
}

/// Passes a point with so many requests.
///
/// Whoever is held or delayed holds its thread, and with it all that the thread would do: it stands still as a process
/// does that was stopped.
pub fn pass(point: Point, requests: usize) {
    match OF_THE_THREAD.with_borrow(Clone::clone) {
        Some(points) => points.pass(point, requests),
        None => OF_THE_PROCESS.pass(point, requests),
    }
}

/// How many requests the planner of this process has read and not got an answer for.
pub fn in_hand() -> usize {
    OF_THE_PROCESS.in_hand.load(Ordering::Relaxed)
}

impl Points {
    /// From now on the points that this thread passes are these, not those of the process.
    pub fn arm_thread(self) {
        OF_THE_THREAD.set(Some(Rc::new(self)));
    }

    fn pass(&self, point: Point, requests: usize) {
        match point {
            Point::Looked | Point::Planned => self.in_hand.store(requests, Ordering::Relaxed),
            Point::Committed => self.in_hand.store(0, Ordering::Relaxed),
            _ => {}
        }
        if requests > 0 {
            self.rules.iter().filter(|rule| rule.point == point).for_each(|rule| rule.pass(requests));
        }
    }
}

impl Rule {
    fn pass(&self, requests: usize) {
        let passing = self.passed.fetch_add(1, Ordering::Relaxed) + 1;
        match &self.deed {
            Deed::Kill if passing == self.at => {
                eprintln!("failpoint {}: killed with {requests} requests", self.point.as_str());
                let killed = kill_process(getpid(), Signal::KILL);
                unreachable!("this process was killed: {killed:?}");
            }
            Deed::Hold(file) if passing == self.at => hold(file).unwrap_or_else(|error| {
                panic!("failpoint {}: cannot hold on {}: {error}", self.point.as_str(), file.display())
            }),
            Deed::Delay(time) if passing >= self.at => std::thread::sleep(*time),
            _ => {}
        }
    }
}

fn hold(file: &PathBuf) -> std::io::Result<()> {
    fs::write(file, "")?;
    while file.try_exists()? {
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

impl FromStr for Points {
    type Err = BadPoints;

    fn from_str(text: &str) -> Result<Self, BadPoints> {
        let rules = text.split(',').filter(|rule| !rule.is_empty());
        let rules = rules.map(|rule| Rule::parse(rule).ok_or_else(|| BadPoints(rule.to_owned())));
        Ok(Self { rules: rules.collect::<Result<_, _>>()?, in_hand: AtomicUsize::default() })
    }
}

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        let (name, deed) = text.split_once('=')?;
        let point = Point::ALL.into_iter().find(|point| point.as_str() == name)?;
        let (head, argument) = deed.split_once(':').map_or((deed, None), |(head, argument)| (head, Some(argument)));
        let (word, at) = head.split_once('@').unwrap_or((head, "1"));
        let deed = match (word, argument) {
            ("kill", None) => Deed::Kill,
            ("hold", Some(file)) => Deed::Hold(file.into()),
            ("delay", Some(millis)) => Deed::Delay(Duration::from_millis(millis.parse().ok()?)),
            _ => return None,
        };
        Some(Self { point, deed, at: at.parse().ok()?, passed: AtomicUsize::default() })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_is_written_is_what_happens() {
        let points: Points = "looked=kill@3,planned=hold:/tmp/f,taken=delay@2:20".parse().unwrap();
        let rules = points.rules.iter().map(|rule| (rule.point, &rule.deed, rule.at));
        let (hold, delay) = (Deed::Hold("/tmp/f".into()), Deed::Delay(Duration::from_millis(20)));
        let wanted = [(Point::Looked, &Deed::Kill, 3), (Point::Planned, &hold, 1), (Point::Taken, &delay, 2)];
        assert!(rules.eq(wanted), "{points:?}");
        assert!("".parse::<Points>().unwrap().rules.is_empty());
    }

    #[test]
    fn a_slip_of_the_hand_is_told() {
        for text in
            ["looked", "lookd=kill", "looked=kil", "looked=kill:3", "looked=hold", "looked=delay:x", "taken=kill@x"]
        {
            assert_eq!(text.parse::<Points>().unwrap_err(), BadPoints(text.to_owned()));
        }
    }

    #[test]
    fn a_delay_lasts_at_least_as_long_as_it_says() {
        let points: Points = "taken=delay:20".parse().unwrap();
        let began = Instant::now();
        points.pass(Point::Taken, 1);
        assert!(began.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn a_point_holds_its_thread_until_the_file_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("held");
        let points: Points = format!("planned=hold@2:{}", file.display()).parse().unwrap();
        let passing = std::thread::spawn(move || {
            points.arm_thread();
            pass(Point::Planned, 0);
            pass(Point::Planned, 1);
            pass(Point::Looked, 1);
            pass(Point::Planned, 1);
        });
        while !file.exists() {
            assert!(!passing.is_finished(), "the second passing with a request is held");
            std::thread::yield_now();
        }
        assert!(!passing.is_finished());
        fs::remove_file(&file).unwrap();
        passing.join().unwrap();
    }
}
