//! Every program loads on this kernel, and within its budget.
//!
//! The verifier stops at a million instructions and at 512 bytes of stack; a program
//! that grows towards either is to be noticed long before another kernel refuses it.

use std::{collections::BTreeMap, env, fs};

use anyhow::{Context as _, bail};
use aya::programs::Program;
use svclb::datapath::object::BYTECODE;
use svclb_common::config::DatapathConfig;
use svclb_tests::prog::figures::stacks;

use crate::{lab::Lab, scenario::folder};

/// What a program needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Figures {
    /// Instructions that the verifier follows.
    verified: u32,
    /// Bytes of stack.
    stack: u32,
}

/// The lines `<program> <verified instructions> <bytes of stack>` of the budget.
fn budget() -> anyhow::Result<BTreeMap<String, Figures>> {
    let path = folder().join("budget");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
            [program, verified, stack] => {
                Ok((program.to_owned(), Figures { verified: verified.parse()?, stack: stack.parse()? }))
            }
            _ => bail!("`{line}` is no line of a budget"),
        })
        .collect()
}

/// What the verifier follows, with the settings with which it is most: they are constants
/// to it, and what they rule out it does not see.
fn verified() -> anyhow::Result<BTreeMap<String, u32>> {
    let mut worst = BTreeMap::new();
    for config in DatapathConfig::each() {
        for (name, program) in Lab::new(config, &[])?.programs_mut() {
            match program {
                Program::SchedClassifier(program) => program.load(),
                Program::CgroupSockAddr(program) => program.load(),
                Program::Xdp(program) => program.load(),
                other => bail!("{name} is of another kind: {other:?}"),
            }
            .with_context(|| format!("the kernel refused {name} with {config:?}"))?;
            let verified = program.info()?.verified_instruction_count().context("a kernel before 5.16")?;
            let most: &mut u32 = worst.entry(name.to_owned()).or_default();
            *most = verified.max(*most);
        }
    }
    Ok(worst)
}

/// How much of the budget this kernel may need, from `SVCLB_TEST_BUDGET`: older verifiers follow more.
fn percent() -> anyhow::Result<u64> {
    const PERCENT: &str = "SVCLB_TEST_BUDGET";
    env::var(PERCENT).map_or(Ok(100), |text| text.parse().with_context(|| format!("{PERCENT}={text}")))
}

#[test]
fn every_program_loads_within_its_budget() {
    let (budget, stacks, verified) = (budget().unwrap(), stacks(BYTECODE).unwrap(), verified().unwrap());
    let found: BTreeMap<String, Figures> = verified
        .into_iter()
        .map(|(name, verified)| (name.clone(), Figures { verified, stack: stacks[&name] }))
        .collect();
    let names = |figures: &BTreeMap<String, Figures>| figures.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&budget), "programs of the object, and of bpf-fixtures/budget");
    let percent = percent().unwrap();
    let over = found.iter().filter(|(name, found)| {
        let budget = budget[*name];
        u64::from(found.verified) * 100 > u64::from(budget.verified) * percent || found.stack > budget.stack
    });
    let over: Vec<_> = over.map(|(name, found)| (name, found, budget[name])).collect();
    assert!(over.is_empty(), "program, need, budget: {over:#?}");
}
