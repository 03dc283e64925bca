// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Namespaces for a test process that starts daemons: the host sees none of them, and none outlives
//! it.

use std::ffi::c_int;
use std::process::Command;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// Goes on in a grandchild that has its own network, mounts and processes; this process ends as it
/// does. Whatever way it ends, the kernel ends all that it has started. Must run while the process
/// has one thread.
pub fn enter() {
    let flags = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID;
    unshare(flags).expect("namespaces need root");
    if let Some(init) = in_child() {
        end_as(waitpid(init, None));
    }
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .unwrap();
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), None::<&str>).unwrap();
    // This is the init of its processes now, and does only what an init must: glusterd takes a
    // zombie for a brick that runs.
    if let Some(tests) = in_child() {
        loop {
            let ended = waitpid(None, None);
            if ended.is_ok_and(|status| status.pid() == Some(tests)) || ended == Err(Errno::ECHILD)
            {
                end_as(ended);
            }
        }
    }
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(up.is_ok_and(|status| status.success()), "ip link set lo up");
}

/// In the parent, the child's pid. The child is killed when the parent ends.
fn in_child() -> Option<Pid> {
    // SAFETY: there is one thread.
    match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => Some(child),
        ForkResult::Child => {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
            None
        }
    }
}

fn end_as(ended: nix::Result<WaitStatus>) -> ! {
    const KILLED: c_int = 128;
    std::process::exit(match ended {
        Ok(WaitStatus::Exited(_, status)) => status,
        Ok(WaitStatus::Signaled(_, signal, _)) => {
            eprintln!("the tests were ended by {signal}");
            KILLED + signal as c_int
        }
        other => panic!("{other:?}"),
    })
}
