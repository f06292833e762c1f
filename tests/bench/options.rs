//! What the benchmark is told.

use crate::subject::Subject;

pub const HELP: &str = "\
tests/bench/run: swarmd in front of simulated engines, measured; one table for each size

  --nodes LIST        numbers of engines, one table each (1000)
  --containers N      containers on each engine from the start (30)
  --rounds N          rounds of which medians are shown (3)
  --against CMD       another manager in the same run, column by column, with ratios: any program that takes the
                      classic command line, as `CMD manage -H tcp://... file://...`
  --only PARTS        some parts: small,idle,reads,events,streams,creates,company,failures,flood
  --without PARTS     all but these
  --quick             one round, fewer repetitions, short waits: to see that it works
  --idle SECONDS      how long idleness is watched (60)
  --patience SECONDS  how long a failure may go unnoticed (300)
  --foreign           the first containers carry no swarm ID, as if made past any manager
  --keep-logs         the managers' logs stay in the current directory
  -h, --help          this text

Wall-clock figures are worth what the machine is quiet; CPU time, memory and numbers of requests are worth more.
";

/// What to do.
pub enum Parsed {
    Help,
    Nothing,
    Run(Options),
}

/// How to do it.
pub struct Options {
    pub nodes: Vec<usize>,
    pub containers: usize,
    pub rounds: usize,
    pub subjects: Vec<Subject>,
    pub quick: bool,
    pub idle: u64,
    pub patience: u64,
    pub foreign: bool,
    only: Option<Vec<String>>,
    without: Vec<String>,
}

impl Options {
    /// Whether a part is to be measured.
    pub fn wants(&self, part: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.iter().any(|p| p == part))
            && !self.without.iter().any(|p| p == part)
    }

    /// So many repetitions, or some.
    pub fn times(&self, full: usize) -> usize {
        if self.quick { full.div_ceil(10) } else { full }
    }
}

pub fn parse(arguments: &[String]) -> Result<Parsed, String> {
    let mut options = Options {
        nodes: vec![1000],
        containers: 30,
        rounds: 3,
        subjects: Vec::new(),
        quick: false,
        idle: 60,
        patience: 300,
        foreign: false,
        only: None,
        without: Vec::new(),
    };
    let (mut asked, mut against, mut keep) = (false, None, false);
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let (flag, inline) = match flag.split_once('=') {
            Some((flag, value)) => (flag, Some(value.to_string())),
            None => (flag.as_str(), None),
        };
        match flag {
            "-h" | "--help" => return Ok(Parsed::Help),
            // Cargo's own word for a benchmark.
            "--bench" => {
                asked = true;
                continue;
            }
            "--quick" => {
                (options.quick, options.rounds, options.idle) = (true, 1, 10);
                continue;
            }
            "--foreign" => {
                options.foreign = true;
                continue;
            }
            "--keep-logs" => {
                keep = true;
                continue;
            }
            _ => {}
        }
        let value = inline.or_else(|| rest.next().cloned()).ok_or(format!("{flag} needs a value"))?;
        let number = || value.parse::<usize>().map_err(|_| format!("{flag}: cannot read {value:?}"));
        let words = || value.split(',').map(str::to_string).collect::<Vec<_>>();
        match flag {
            "--nodes" => {
                let read = |w: &String| w.parse().map_err(|_| format!("--nodes: cannot read {w:?}"));
                options.nodes = words().iter().map(read).collect::<Result<_, _>>()?;
            }
            "--containers" => options.containers = number()?,
            "--rounds" => options.rounds = number()?.max(1),
            "--idle" => options.idle = number()? as u64,
            "--patience" => options.patience = number()? as u64,
            "--against" => against = Some(value),
            "--only" => options.only = Some(words()),
            "--without" => options.without = words(),
            _ => return Err(format!("unknown option {flag}")),
        }
    }
    options.subjects.extend(against.map(|command| Subject::other(&command, keep)));
    options.subjects.push(Subject::ours(keep));
    Ok(if asked { Parsed::Run(options) } else { Parsed::Nothing })
}
