// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Commands handed to the plugin, and their answers.

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{LazyLock, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use super::c_abi::{FakeCommand, FakeDevice};

const OK: c_int = 0;

/// The status of a command, and the thread that completed it.
pub(super) type Answer = (c_int, ThreadId);

/// Who waits for which command.
pub(super) static COMMANDS: LazyLock<Mutex<HashMap<usize, Sender<Answer>>>> =
    LazyLock::new(Mutex::default);

/// `tcmur_cmd_complete`.
pub fn completed(_device: *mut FakeDevice, cmd: *mut c_void, status: c_int) {
    let waiter = COMMANDS.lock().unwrap().remove(&cmd.addr());
    let waiter = waiter.expect("completed twice, or never submitted");
    // A test that has failed waits no more.
    let _gone = waiter.send((status, thread::current().id()));
}

/// A command handed to the plugin.
pub struct Pending {
    pub(super) command: FakeCommand,
    pub(super) answers: Receiver<Answer>,
    /// What the callback returned: 0 is "queued".
    pub returned: c_int,
}

impl Pending {
    /// The final status, by return value or completion.
    pub fn wait(self) -> (c_int, FakeCommand) {
        if self.returned != OK {
            return (self.returned, self.command);
        }
        let (status, _) = self.answer();
        (status, self.command)
    }

    /// Waits for the completion. Of a call that a brick has received and does not answer it comes
    /// when the client gives up: frame-timeout, and 10 s between two looks (`call_bail`, 10.3).
    pub fn answer(&self) -> Answer {
        self.answers.recv_timeout(Duration::from_secs(90)).expect("not answered within 90 s")
    }

    /// The command, when it is answered.
    pub fn into_command(self) -> FakeCommand {
        self.command
    }

    /// The status, if the command is answered.
    pub fn answered(&self) -> Option<c_int> {
        if self.returned != OK {
            return Some(self.returned);
        }
        self.answers.try_recv().ok().map(|(status, _)| status)
    }
}
