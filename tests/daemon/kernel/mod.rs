// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The kernel's side of TCMU, emulated: devices with their rings, configfs, and the netlink family
//! (`target_core_user.c`, 6.1). The daemon's system calls come in through preload.c.

pub(crate) mod device;
mod netlink;
pub(crate) mod ring;
mod tree;

use std::collections::HashMap;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind,
    listen, recv, send, sendmsg, socket,
};

use device::Device;
use netlink::{Change, Request};
use tree::Tree;

/// What an admin creates.
#[derive(Debug, Clone)]
pub(crate) struct Backstore {
    pub(crate) name: String,
    /// `dev_config`: `glfs/...`.
    pub(crate) config: String,
    pub(crate) bytes: u64,
    pub(crate) block_size: u32,
    /// Largest transfer, in blocks.
    pub(crate) max_sectors: u32,
    /// How long the daemon may take to answer a command. None: for ever.
    pub(crate) cmd_time_out: Option<Duration>,
    pub(crate) data_area_bytes: usize,
    pub(crate) write_cache: bool,
    /// It is in a target port group with implicit ALUA: exported by several gateways.
    pub(crate) implicit_alua: bool,
}

impl Backstore {
    /// With the defaults of the kernel, but for a smaller data area.
    pub(crate) fn new(name: &str, config: &str, bytes: u64) -> Self {
        Self {
            name: name.to_owned(),
            config: config.to_owned(),
            bytes,
            block_size: 512,
            max_sectors: 128,
            cmd_time_out: Some(Duration::from_secs(30)),
            data_area_bytes: 64 << 20,
            write_cache: false,
            implicit_alua: false,
        }
    }
}

/// How long the daemon has to answer an event. The kernel waits for ever.
const EVENT_TIMEOUT: Duration = Duration::from_secs(120);

/// An event that the daemon has not answered yet.
struct Event {
    kind: u8,
    answer: Sender<i32>,
}

#[derive(Default)]
struct State {
    devices: HashMap<u32, Arc<Device>>,
    /// Netlink sockets of daemons that answer events.
    subscribers: Vec<Arc<OwnedFd>>,
    events: HashMap<u32, Event>,
    /// `block_netlink`: a daemon is starting.
    blocked: bool,
    next_minor: u32,
}

struct Shared {
    tree: Tree,
    state: Mutex<State>,
}

/// An emulated kernel. It lives in threads of this process, and as long as that.
#[derive(Clone)]
pub(crate) struct Kernel {
    shared: Arc<Shared>,
    socket: PathBuf,
}

impl Kernel {
    /// A kernel without devices, with its files in `root`.
    pub(crate) fn start(root: &Path) -> Self {
        let shared = Arc::new(Shared { tree: Tree::new(root), state: Mutex::default() });
        let path = root.join("kernel");
        let listener =
            socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(listener.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        listen(&listener, Backlog::MAXCONN).unwrap();
        let kernel = Self { shared, socket: path };
        let server = kernel.clone();
        thread::spawn(move || server.accept(&listener));
        kernel
    }

    /// Where preload.c reaches it.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// See [`Tree::mounts`].
    pub(crate) fn mounts(&self) -> Vec<[String; 3]> {
        self.shared.tree.mounts()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    /// Whether a daemon has started: it answers events, and has let them through.
    pub(crate) fn has_daemon(&self) -> bool {
        let state = self.state();
        !state.subscribers.is_empty() && !state.blocked
    }

    /// Creates a device (`tcmu_configure_device`). Without a daemon it is there all the same.
    pub(crate) fn add(&self, backstore: Backstore) -> Result<Arc<Device>, Errno> {
        let device = {
            let mut state = self.state();
            let minor = state.next_minor;
            state.next_minor += 1;
            let device = Arc::new(Device::new(minor, backstore));
            state.devices.insert(minor, Arc::clone(&device));
            device
        };
        self.shared.tree.add(&device.backstore(), device.minor, device.ring_bytes());
        let server = Arc::clone(&device);
        thread::spawn(move || server.serve());
        let added = self.event(&device, netlink::ADDED_DEVICE, None);
        if added.is_err() {
            self.forget(&device);
        }
        added.map(|()| device)
    }

    /// Removes a device (`tcmu_destroy_device`); returns when the daemon has let go of it.
    pub(crate) fn remove(&self, device: &Device) {
        self.event(device, netlink::REMOVED_DEVICE, None).unwrap();
        self.forget(device);
    }

    fn forget(&self, device: &Device) {
        device.stop();
        self.shared.tree.remove(&device.backstore().name, device.minor);
        self.state().devices.remove(&device.minor);
    }

    /// Shows an iSCSI target with these backstores, which only ACLs admit to.
    pub(crate) fn export(&self, backstores: &[&str]) {
        self.shared.tree.export(backstores);
    }

    /// Shows an ACL of that target, which maps some of its LUNs.
    pub(crate) fn admit(&self, initiator: &str, luns: &[usize]) {
        self.shared.tree.admit(initiator, luns);
    }

    /// An admin's `targetcli ... set attribute dev_size=BYTES`.
    pub(crate) fn set_size(&self, device: &Device, bytes: u64) -> Result<(), Errno> {
        self.event(device, netlink::RECONFIG_DEVICE, Some(&Change::Size(bytes)))?;
        self.change(device, |backstore| backstore.bytes = bytes);
        Ok(())
    }

    /// An admin's `targetcli ... set attribute emulate_write_cache=0|1`.
    pub(crate) fn set_write_cache(&self, device: &Device, on: bool) -> Result<(), Errno> {
        let change = Change::WriteCache(u8::from(on));
        self.event(device, netlink::RECONFIG_DEVICE, Some(&change))?;
        self.change(device, |backstore| backstore.write_cache = on);
        Ok(())
    }

    /// An admin's `targetcli ... set attribute dev_config=...`.
    pub(crate) fn set_config(&self, device: &Device, config: &str) -> Result<(), Errno> {
        let change = Change::Config(config.to_owned());
        self.event(device, netlink::RECONFIG_DEVICE, Some(&change))?;
        self.change(device, |backstore| config.clone_into(&mut backstore.config));
        Ok(())
    }

    fn change(&self, device: &Device, change: impl FnOnce(&mut Backstore)) {
        self.shared.tree.update(&device.change(change));
    }

    /// Tells the daemon, and waits for its answer (`tcmu_netlink_event_send`).
    fn event(&self, device: &Device, kind: u8, change: Option<&Change>) -> Result<(), Errno> {
        let (answer, answers) = channel();
        let subscribers = {
            let mut state = self.state();
            if state.blocked {
                return Err(Errno::EAGAIN);
            }
            if state.subscribers.is_empty() {
                return Ok(());
            }
            if state.events.contains_key(&device.minor) {
                return Err(Errno::EBUSY);
            }
            state.events.insert(device.minor, Event { kind, answer });
            state.subscribers.clone()
        };
        let name = Tree::uio_name(&device.backstore());
        let message = netlink::event(kind, &name, device.minor, device.minor, change);
        for subscriber in subscribers {
            // It may just have died.
            let _sent = send(subscriber.as_raw_fd(), &message, MsgFlags::MSG_NOSIGNAL);
        }
        match answers.recv_timeout(EVENT_TIMEOUT).expect("the daemon answers an event") {
            0 => Ok(()),
            status => Err(Errno::from_raw(-status)),
        }
    }

    fn accept(&self, listener: &OwnedFd) {
        loop {
            let fd = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC).unwrap();
            // SAFETY: accept4 has just made it; nobody else closes it.
            let connection = unsafe { OwnedFd::from_raw_fd(fd) };
            let kernel = self.clone();
            thread::spawn(move || kernel.serve(connection));
        }
    }

    /// Serves a connection of preload.c until it is closed.
    fn serve(&self, connection: OwnedFd) {
        match receive(&connection).split_first() {
            Some((b'u', name)) => self.opened(&connection, std::str::from_utf8(name).unwrap()),
            Some((b'w', path)) => {
                self.written(&connection, std::str::from_utf8(path).unwrap());
            }
            Some((b'n', _)) => self.netlink(connection),
            other => panic!("preload.c asks for {other:?}"),
        }
    }

    /// The daemon opens `/dev/uioN`.
    fn opened(&self, connection: &OwnedFd, name: &str) {
        let minor: u32 = name.strip_prefix("uio").unwrap().parse().unwrap();
        let device = self.state().devices.get(&minor).cloned();
        let result = match &device {
            None => -libc::ENODEV,
            Some(device) if !device.set_open(true) => -libc::EBUSY,
            Some(_) => 0,
        };
        let Some(device) = device.filter(|_| result == 0) else {
            reply(connection, result);
            return;
        };
        device.with_files(|files| {
            let raw = files.map(|file| file.as_raw_fd());
            let text = result.to_ne_bytes();
            let rights = [ControlMessage::ScmRights(&raw)];
            let text = [IoSlice::new(&text)];
            let flags = MsgFlags::MSG_NOSIGNAL;
            sendmsg::<()>(connection.as_raw_fd(), &text, &rights, flags, None).unwrap();
        });
        // Until it is closed, or the daemon has died.
        assert!(receive(connection).is_empty(), "a device is only opened");
        device.set_open(false);
    }

    /// The daemon, or the plugin in it, writes to a file.
    fn written(&self, connection: &OwnedFd, path: &str) {
        loop {
            let text = receive(connection);
            if text.is_empty() {
                return;
            }
            let text = std::str::from_utf8(&text).unwrap().trim_end_matches(['\0', '\n']);
            reply(connection, self.store(path, text).map_or_else(|errno| -(errno as i32), |()| 0));
        }
    }

    fn store(&self, path: &str, text: &str) -> Result<(), Errno> {
        match path {
            "/sys/module/target_core_user/parameters/block_netlink" => {
                self.state().blocked = text == "1";
                return Ok(());
            }
            "/sys/module/target_core_user/parameters/reset_netlink" => {
                for event in std::mem::take(&mut self.state().events).into_values() {
                    // Its sender may have given up.
                    let _gone = event.answer.send(-libc::EINTR);
                }
                return Ok(());
            }
            _ => {}
        }
        let (name, file) = Tree::parse(path).ok_or(Errno::ENOENT)?;
        let device = self.device(name).ok_or(Errno::ENOENT)?;
        match (file, text.split_once('=')) {
            ("action/block_dev", _) => device.block(text == "1"),
            ("action/reset_ring", _) => device.reset_ring(text == "1"),
            ("attrib/dev_size", _) => {
                self.set_size(&device, text.parse().map_err(|_| Errno::EINVAL)?)?;
            }
            ("control", Some(("dev_size", bytes))) => {
                let bytes = bytes.parse().map_err(|_| Errno::EINVAL)?;
                self.change(&device, |backstore| backstore.bytes = bytes);
            }
            other => panic!("the kernel has no {other:?} that could be written"),
        }
        Ok(())
    }

    fn device(&self, name: &str) -> Option<Arc<Device>> {
        let devices: Vec<_> = self.state().devices.values().cloned().collect();
        devices.into_iter().find(|device| device.backstore().name == name)
    }

    fn netlink(&self, connection: OwnedFd) {
        let connection = Arc::new(connection);
        loop {
            let message = receive(&connection);
            if message.is_empty() {
                break;
            }
            let (request, answers) = netlink::parse(&message);
            match request {
                Request::GetFamily => {}
                Request::SetFeatures => self.state().subscribers.push(Arc::clone(&connection)),
                Request::Done { event, device, status } => {
                    let found = self.state().events.remove(&device).expect("an event");
                    assert_eq!(found.kind, event, "the daemon answers another event");
                    // Its sender may have given up.
                    let _gone = found.answer.send(status);
                }
            }
            for answer in answers {
                // The daemon may have died.
                let _sent = send(connection.as_raw_fd(), &answer, MsgFlags::MSG_NOSIGNAL);
            }
        }
        self.state().subscribers.retain(|other| !Arc::ptr_eq(other, &connection));
    }
}

/// The next message; empty at the end of the connection.
fn receive(connection: &OwnedFd) -> Vec<u8> {
    let mut message = vec![0; 1 << 16];
    let length = loop {
        match recv(connection.as_raw_fd(), &mut message, MsgFlags::empty()) {
            Ok(length) => break length,
            Err(Errno::EINTR) => {}
            // The daemon was killed with an answer unread.
            Err(Errno::ECONNRESET) => break 0,
            Err(errno) => panic!("recv: {errno}"),
        }
    };
    message.truncate(length);
    message
}

fn reply(connection: &OwnedFd, result: i32) {
    // The daemon may have died.
    let _sent = send(connection.as_raw_fd(), &result.to_ne_bytes(), MsgFlags::MSG_NOSIGNAL);
}
