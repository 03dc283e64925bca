// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Messages of generic netlink, as `TCM-USER` and the controller of families exchange them with
//! libnl (`genetlink.h`, `target_core_user.h`, `target_core_user.c`; Linux 6.1).

/// Message type of the controller of families (`GENL_ID_CTRL`).
const CONTROLLER: u16 = 0x10;
/// Message type of `TCM-USER`: any number from 0x11 on; the kernel takes the next that is free.
const FAMILY: u16 = 0x1c;
/// The number of the group `config`.
const GROUP: u32 = 7;
const FAMILY_VERSION: u8 = 2;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_MULTI: u16 = 2;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;

const CTRL_CMD_NEWFAMILY: u8 = 1;
const CTRL_CMD_GETFAMILY: u8 = 3;

pub(crate) const ADDED_DEVICE: u8 = 1;
pub(crate) const REMOVED_DEVICE: u8 = 2;
pub(crate) const RECONFIG_DEVICE: u8 = 3;
/// What the daemon answers an event with is the event's number and this.
const DONE: u8 = 3;
const SET_FEATURES: u8 = 7;

const ATTR_DEVICE: u16 = 1;
const ATTR_MINOR: u16 = 2;
const ATTR_DEV_CFG: u16 = 4;
const ATTR_DEV_SIZE: u16 = 5;
const ATTR_WRITECACHE: u16 = 6;
const ATTR_CMD_STATUS: u16 = 7;
const ATTR_DEVICE_ID: u16 = 8;

/// A change of a device that the daemon is asked to agree to.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Config(String),
    Size(u64),
    WriteCache(u8),
}

/// A request of the daemon's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Which number a family has.
    GetFamily,
    /// The daemon will answer events.
    SetFeatures,
    /// The answer to an event.
    Done { event: u8, device: u32, status: i32 },
}

/// A message of the daemon's, and what is sent to it at once: a description, an acknowledgement.
pub(crate) fn parse(message: &[u8]) -> (Request, Vec<Vec<u8>>) {
    let [l0, l1, l2, l3, t0, t1, f0, f1, rest @ ..] = message else { panic!("{message:x?}") };
    assert_eq!(u32::from_ne_bytes([*l0, *l1, *l2, *l3]) as usize, message.len(), "{message:x?}");
    let (kind, flags) = (u16::from_ne_bytes([*t0, *t1]), u16::from_ne_bytes([*f0, *f1]));
    // Sequence number and port, 4 bytes each; then the command.
    let (command, attributes) = (rest[8], &rest[12..]);
    let is_dump = flags & NLM_F_DUMP == NLM_F_DUMP;
    let mut answers = Vec::new();
    if (kind, command) == (CONTROLLER, CTRL_CMD_GETFAMILY) {
        answers.push(family(if is_dump { NLM_F_MULTI } else { 0 }, &rest[..8]));
    }
    let no_error = 0_i32.to_ne_bytes();
    if is_dump {
        answers.push(enveloped(NLMSG_DONE, NLM_F_MULTI, &rest[..8], &no_error));
    } else if flags & NLM_F_ACK != 0 {
        let text = [&no_error[..], &message[..16]].concat();
        answers.push(enveloped(NLMSG_ERROR, 0, &rest[..8], &text));
    }
    let number = |wanted| -> u32 {
        let value = attribute(attributes, wanted).expect("the attribute");
        u32::from_ne_bytes(value.try_into().unwrap())
    };
    let request = match (kind, command) {
        (CONTROLLER, CTRL_CMD_GETFAMILY) => Request::GetFamily,
        (FAMILY, SET_FEATURES) => Request::SetFeatures,
        (FAMILY, done @ 4..=6) => Request::Done {
            event: done - DONE,
            device: number(ATTR_DEVICE_ID),
            status: i32::from_ne_bytes(number(ATTR_CMD_STATUS).to_ne_bytes()),
        },
        other => panic!("netlink: {other:x?} {message:x?}"),
    };
    (request, answers)
}

/// The description of `TCM-USER`.
fn family(flags: u16, sequence_and_port: &[u8]) -> Vec<u8> {
    let mut group = attr(1, b"config\0");
    group.extend(attr(2, &GROUP.to_ne_bytes()));
    let attributes = [
        attr(1, &FAMILY.to_ne_bytes()),
        attr(2, b"TCM-USER\0"),
        attr(3, &u32::from(FAMILY_VERSION).to_ne_bytes()),
        attr(4, &0_u32.to_ne_bytes()),
        attr(5, &9_u32.to_ne_bytes()),
        attr(7, &attr(1, &group)),
    ];
    let mut text = vec![CTRL_CMD_NEWFAMILY, 2, 0, 0];
    text.extend(attributes.concat());
    enveloped(CONTROLLER, flags, sequence_and_port, &text)
}

/// An event, with a change if it is [`RECONFIG_DEVICE`].
pub(crate) fn event(
    kind: u8,
    name: &str,
    minor: u32,
    device: u32,
    change: Option<&Change>,
) -> Vec<u8> {
    let mut text = vec![kind, FAMILY_VERSION, 0, 0];
    text.extend(attr(ATTR_DEVICE, format!("{name}\0").as_bytes()));
    text.extend(attr(ATTR_MINOR, &minor.to_ne_bytes()));
    text.extend(attr(ATTR_DEVICE_ID, &device.to_ne_bytes()));
    match change {
        None => {}
        Some(Change::Config(config)) => {
            text.extend(attr(ATTR_DEV_CFG, format!("{config}\0").as_bytes()));
        }
        Some(Change::Size(bytes)) => text.extend(attr(ATTR_DEV_SIZE, &bytes.to_ne_bytes())),
        Some(Change::WriteCache(on)) => text.extend(attr(ATTR_WRITECACHE, &[*on])),
    }
    enveloped(FAMILY, 0, &[0; 8], &text)
}

/// A whole message. `sequence_and_port` are 8 bytes.
fn enveloped(kind: u16, flags: u16, sequence_and_port: &[u8], text: &[u8]) -> Vec<u8> {
    let mut message = u32::try_from(16 + text.len()).unwrap().to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence_and_port);
    message.extend(text);
    message
}

fn attr(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(4 + value.len()).unwrap().to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    while let [l0, l1, k0, k1, ..] = attributes {
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        if u16::from_ne_bytes([*k0, *k1]) == wanted {
            return attributes.get(4..length);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}
