//! System calls that no library wraps: the only unsafe code of the agent.
#![expect(unsafe_code, reason = "raw system calls and mapped memory")]

pub mod ethtool;
pub mod grace;
pub mod hash;
pub mod heap;
pub mod inject;
pub mod link;
pub mod mapped;
pub mod netns;
pub mod program;
pub mod query;
pub mod ready;
