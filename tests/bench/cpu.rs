// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! CPU time, and on which cores it is spent.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::Pid;

/// CPU time that this process has used.
pub(crate) fn own() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    let all = micros(usage.user_time()) + micros(usage.system_time());
    Ok(Duration::from_micros(u64::try_from(all)?))
}

/// CPU time that the threads of another process, as it has them now, have used.
pub(crate) fn of(pid: i32) -> anyhow::Result<Duration> {
    let mut nanos = 0;
    for thread in threads(pid)? {
        let path = format!("/proc/{pid}/task/{thread}/schedstat");
        let text = fs::read_to_string(&path).with_context(|| path.clone())?;
        nanos += text.split_whitespace().next().unwrap_or("0").parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// Lets a process, all of its threads and those to come, run on these cores only.
pub(crate) fn pin(pid: i32, cores: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core)?;
    }
    for thread in threads(pid)? {
        // One that has just ended needs no place.
        let _ended = sched_setaffinity(Pid::from_raw(thread), &set).is_err();
    }
    Ok(())
}

/// Resident memory of this process, in KiB.
pub(crate) fn resident() -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.split_whitespace().next().unwrap_or("0").parse()?)
}

fn threads(pid: i32) -> anyhow::Result<Vec<i32>> {
    let folder = format!("/proc/{pid}/task");
    let names = fs::read_dir(&folder).with_context(|| folder.clone())?;
    Ok(names.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}
