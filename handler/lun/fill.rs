//! UNMAP and WRITE SAME: a range of the image is filled with one block, repeated.
//!
//! A block of zeros has three means, the cheapest that the volume can first: punching a hole, having the bricks write zeros, and
//! writing them from here. What the volume cannot do is remembered. Any other block is written. One piece is in flight at a
//! time, so a command over a whole LUN is as polite as a small one.

use std::cmp::min;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use nix::errno::Errno;

use super::Lun;
use super::backend::{Backend, Data, Request};
use super::error::{Op, kind};
use crate::metrics::Event;
use crate::report;
use crate::runner::{Buffer, Command, Sense, Status};

/// How a range is filled, cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Means {
    /// Frees the space. Zeros only.
    Discard,
    /// The bricks write. Zeros only.
    Zerofill,
    /// We write.
    Write,
}

impl Means {
    /// Bytes of one piece.
    fn piece(self) -> u64 {
        match self {
            Self::Discard => 1 << 30,
            // A brick whose file system cannot zero a range writes it, and answers when it is done.
            Self::Zerofill => 256 << 20,
            Self::Write => 1 << 20,
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Discard => Self::Zerofill,
            Self::Zerofill | Self::Write => Self::Write,
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Discard => 1,
            Self::Zerofill => 2,
            Self::Write => 0,
        }
    }
}

/// The means that a LUN's volume has turned out not to have.
#[derive(Debug, Default)]
pub(super) struct Missing(AtomicU8);

impl Missing {
    /// `means`, or the next one that is not missing.
    fn past(&self, mut means: Means) -> Means {
        while self.0.load(Ordering::Relaxed) & means.bit() != 0 {
            means = means.next();
        }
        means
    }

    fn add(&self, means: Means) {
        self.0.fetch_or(means.bit(), Ordering::Relaxed);
    }
}

/// A fill in flight.
struct Fill<B: Backend> {
    lun: Arc<Lun<B>>,
    command: Command,
    op: Op,
    means: Means,
    /// The block, repeated, for [`Means::Write`].
    buffer: Buffer,
    block: Vec<u8>,
    /// How far into a block the fill has come: a short write may stop anywhere.
    phase: usize,
    /// Where the rest begins, in bytes.
    offset: u64,
    /// How long the rest is.
    left: u64,
    /// How much of it is in flight.
    piece: u64,
}

/// Starts to fill `len` bytes at `offset` with `block`. `len` may be 0: the core does that when it splits.
pub(super) fn start<B: Backend>(
    lun: Arc<Lun<B>>,
    image: &B,
    command: Command,
    op: Op,
    block: Vec<u8>,
    (offset, len): (u64, u64),
) {
    let means = match op {
        _ if block.iter().any(|&byte| byte != 0) => Means::Write,
        Op::Unmap => lun.missing.past(Means::Discard),
        _ => lun.missing.past(Means::Zerofill),
    };
    let buffer = Buffer::empty();
    Fill { lun, command, op, means, buffer, block, phase: 0, offset, left: len, piece: 0 }.submit(image);
}

impl<B: Backend> Fill<B> {
    /// Goes on with the rest.
    fn go_on(self) {
        match self.lun.gate.image() {
            Some(image) => self.submit(&image),
            None => self.fail(Errno::ENOTCONN),
        }
    }

    fn submit(mut self, image: &B) {
        let offset = self.offset;
        self.piece = min(self.left, self.means.piece());
        if self.piece == 0 {
            return image.nothing(self);
        }
        let piece = self.piece;
        match self.means {
            Means::Discard => image.discard(self, offset, piece),
            Means::Zerofill => image.zero(self, offset, piece),
            Means::Write => {
                let bytes = usize::try_from(piece).unwrap_or(usize::MAX);
                if self.buffer.is_empty() {
                    // Room for a piece, whatever the phase it begins in.
                    self.buffer = Buffer::repeating(&self.block, bytes.saturating_add(self.block.len()));
                }
                self.buffer.show(self.phase, bytes);
                image.write(self, offset);
            }
        }
    }

    /// The volume did not do it. For zeros there is another way: an UNMAP that fails would be reported as GOOD by the core
    /// (`unmap_put`), and its range must read as zeros.
    fn degrade(mut self, errno: Errno) {
        let unsupported = matches!(errno, Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL);
        let lun = Arc::clone(&self.lun);
        if unsupported {
            let means = self.means;
            report::warning!(lun.log, "the volume has no {means:?} ({errno}): this LUN does without from now on");
            lun.missing.add(self.means);
            self.means = self.means.next();
            self.go_on();
        } else if self.op == Op::Unmap {
            self.means = Means::Write;
            self.go_on();
        } else {
            self.fail(errno);
        }
    }

    fn fail(self, errno: Errno) {
        let (kind, offset, left) = (kind(self.op), self.offset, self.left);
        let name = kind.name;
        self.lun.log.failed(kind, format_args!("{name} offset={offset} len={left} failed: {errno}"));
        let status = self.lun.failed(self.op, errno);
        if self.op == Op::Unmap {
            // The initiator has been told GOOD already, or will be.
            let sense = if let Status::Sense(sense) = status { sense } else { Sense::WRITE_ERROR };
            self.lun.meter.count(Event::Deferred);
            self.lun.gate.set_pending(sense.deferred());
        }
        self.command.complete(status);
    }
}

impl<B: Backend> Request for Fill<B> {
    fn data(&self) -> &Data {
        self.buffer.data()
    }

    fn done(mut self, outcome: Result<usize, Errno>) {
        let moved = match (outcome, self.means) {
            (Ok(_), Means::Discard | Means::Zerofill) => self.piece,
            (Ok(0), Means::Write) if self.piece > 0 => return self.fail(Errno::ENODATA),
            (Ok(bytes), Means::Write) => {
                self.phase = self.phase.saturating_add(bytes).checked_rem(self.block.len()).unwrap_or(0);
                u64::try_from(bytes).unwrap_or(u64::MAX)
            }
            (Err(errno), Means::Discard | Means::Zerofill) => return self.degrade(errno),
            (Err(errno), Means::Write) => return self.fail(errno),
        };
        self.lun.served(self.op);
        self.offset = self.offset.saturating_add(moved);
        self.left = self.left.saturating_sub(moved);
        if self.left == 0 { self.command.complete(Status::Ok) } else { self.go_on() }
    }
}
