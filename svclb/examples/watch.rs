//! Measures.
use std::{
    path::Path,
    time::{Duration, Instant},
};
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let file = std::env::args().nth(2).unwrap();
    let (mut rx, task) = svclb::manifest::watch(Path::new(&dir)).unwrap();
    tokio::spawn(task);
    let t = Instant::now();
    let b = rx.recv().await.unwrap();
    println!("first {:?} {}", t.elapsed(), b.changes.len());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let path = format!("{dir}/{file}");
    let mut text = std::fs::read_to_string(&path).unwrap();
    let mut times = vec![];
    for i in 0..60 {
        let from = if i == 0 { "8080".to_owned() } else { format!("{}", 9000 + i - 1) };
        text = text.replacen(&from, &format!("{}", 9000 + i), 1);
        let tmp = format!("{dir}/.tmp");
        if i % 2 == 0 {
            std::fs::write(&tmp, &text).unwrap();
        }
        let t = Instant::now();
        if i % 2 == 0 {
            std::fs::rename(&tmp, &path).unwrap();
        } else {
            std::fs::write(&path, &text).unwrap();
        }
        let b = rx.recv().await.unwrap();
        times.push(t.elapsed());
        assert_eq!(b.changes.len(), 1, "{b:?}");
        tokio::time::sleep(Duration::from_millis(137)).await;
    }
    times.sort();
    println!("min {:?} p50 {:?} p90 {:?} max {:?}", times[0], times[30], times[54], times[59]);
    let cpu = || {
        std::fs::read_to_string("/proc/self/stat")
            .unwrap()
            .split(' ')
            .skip(13)
            .take(2)
            .map(|x| x.parse::<u64>().unwrap())
            .sum::<u64>()
    };
    let c = cpu();
    tokio::time::sleep(Duration::from_secs(10)).await;
    println!("idle ticks in 10s: {}", cpu() - c);
}
