//! Measures.
use std::{path::Path, time::Instant};
fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let t = Instant::now();
    let mut folder = svclb::manifest::Folder::open(Path::new(&dir)).unwrap();
    let report = folder.scan();
    println!("scan {:?} errors {:?}", t.elapsed(), report.errors.first());
    let o = folder.objects();
    println!("{} {}", o.services().len(), o.slices().len());
    for l in std::fs::read_to_string("/proc/self/status")
        .unwrap()
        .lines()
        .filter(|l| l.starts_with("VmRSS") || l.starts_with("VmHWM"))
    {
        println!("{l}");
    }
}
