//! The network by name: `network_by_name RULE[,RULE...] COMMAND [ARGUMENT...]`, with rules such as `example.org:443`,
//! `*.example.org`, `10.0.0.0/8:5432` or `example.org:443/udp`. The command needs to know nothing of it.

use belljar_sandbox::model::NetRule;
use belljar_sandbox::{Request, stage_entry};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    stage_entry();
    let mut words = std::env::args().skip(1);
    let rules = words.next().ok_or("whom may it reach?")?;
    let mut request = Request::builder(words).env_of_caller(["PATH", "HOME", "LANG"]);
    for rule in rules.split(',') {
        request = request.allow_net(rule.parse::<NetRule>()?);
    }
    let ended = request.run()?;
    for reached in &ended.connections {
        eprintln!("reached {:?}: {} sent, {} received", reached.peer, reached.sent, reached.received);
    }
    for attempt in &ended.attempts {
        eprintln!("refused {:?} ({})", attempt.target, attempt.rule);
    }
    eprintln!("ended: {:?}", ended.exit);
    Ok(())
}
