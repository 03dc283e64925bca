// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The live view: redraws after a scrape, a key or a change of size, and restores the terminal.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::terminal::{self, BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate};
use crossterm::{cursor, execute, queue};
use signal_hook::consts::SIGHUP;
use signal_hook::flag;

use super::frame::{Sort, frame};
use super::history::History;
use crate::interrupt::Interrupt;
use crate::scrape::Snapshot;
use crate::terminal::{BOLD, DIM, WARN, cut, styled};

/// Bounds the time between a scrape and its display.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Exit status after SIGHUP, as shells have it.
const HUNG_UP: i32 = 128 + SIGHUP;

/// A scrape, and its time.
pub(super) type News = (Instant, Result<Snapshot, String>);

/// State that the keys change.
struct View {
    sort: Sort,
    paused: bool,
    /// How many LUNs are above the first one that is shown.
    above: usize,
    /// The help is shown in place of the LUNs.
    help: bool,
}

const HELP: [&str; 18] = [
    "tcmu-glfs top: load of the LUNs that tcmu-runner serves",
    "",
    "  i b l e       sort by IOPS, bandwidth, latency, errors",
    "  up down home  move the list",
    "  p or space    pause",
    "  h or ?        this help, and back",
    "  q or Esc      quit",
    "",
    "STATE    ready, not ready (the image was never opened), OUTAGE and since when;",
    "         tcmu-glfs status LUN says why",
    "FENCE    owned (by this gateway), standby (another owns it), open, off",
    "IOPS     commands per second; MB/s: 10^6 bytes per second",
    "p50 p99  within so many ms half, and 99 %, of the commands were answered;",
    "         yellow from 100 ms, red from 1 s",
    "OTHER/s  flushes, unmaps, WRITE SAMEs, COMPARE AND WRITEs per second",
    "QD       commands in flight",
    "ERR/s    failed commands per second",
    "A LUN without commands is dim. LUNs that are not ready come first.",
];

enum Next {
    Draw,
    Nothing,
    Quit,
}

/// Restores the terminal when it is dropped.
struct Raw;

impl Raw {
    fn enter() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        let raw = Self;
        execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide)?;
        Ok(raw)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Errors cannot be shown any more.
        drop(execute!(io::stdout(), cursor::Show, terminal::LeaveAlternateScreen));
        drop(terminal::disable_raw_mode());
    }
}

/// Shows what comes through `news` until q is pressed.
pub(super) fn run(
    news: &Receiver<News>,
    mut history: History,
    began: Instant,
    sort: Sort,
) -> io::Result<()> {
    let colour = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
    // The terminal is gone: there is nothing to put back, and whoever reads from it reads its end
    // again and again.
    flag::register_conditional_shutdown(SIGHUP, HUNG_UP, Arc::new(AtomicBool::new(true)))?;
    let interrupt = Interrupt::catch()?;
    let raw = Raw::enter()?;
    let mut view = View { sort, paused: false, above: 0, help: false };
    draw(&history, &mut view, colour)?;
    loop {
        let mut next = Next::Nothing;
        if event::poll(POLL_INTERVAL)? {
            next = take(&event::read()?, &mut view);
        }
        match news.try_recv() {
            // Not lost: the first interval after a pause reaches back to its beginning.
            Ok(_) if view.paused => {}
            Ok((at, scraped)) => {
                history.take(at - began, scraped);
                next = if matches!(next, Next::Quit) { next } else { Next::Draw };
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => next = Next::Quit,
        }
        match next {
            Next::Draw => draw(&history, &mut view, colour)?,
            Next::Nothing if interrupt.is_asked() => break,
            Next::Nothing => {}
            Next::Quit => break,
        }
    }
    drop(raw);
    Ok(())
}

fn take(event: &Event, view: &mut View) -> Next {
    match event {
        Event::Resize(..) => return Next::Draw,
        Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) => match code {
            KeyCode::Char('h' | '?') => view.help = !view.help,
            KeyCode::Esc if view.help => view.help = false,
            KeyCode::Char('q') | KeyCode::Esc => return Next::Quit,
            KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => return Next::Quit,
            KeyCode::Char('i') => view.sort = Sort::Iops,
            KeyCode::Char('b') => view.sort = Sort::Bandwidth,
            KeyCode::Char('l') => view.sort = Sort::Latency,
            KeyCode::Char('e') => view.sort = Sort::Errors,
            KeyCode::Char('p' | ' ') => view.paused = !view.paused,
            KeyCode::Up => view.above = view.above.saturating_sub(1),
            KeyCode::Down => view.above += 1,
            KeyCode::Home => view.above = 0,
            _ => return Next::Nothing,
        },
        _ => return Next::Nothing,
    }
    Next::Draw
}

fn draw(history: &History, view: &mut View, colour: bool) -> io::Result<()> {
    let (columns, lines) = terminal::size()?;
    let (columns, lines) = (usize::from(columns), usize::from(lines));
    let frame = frame(history, view.sort, Some(columns));
    let room = lines.saturating_sub(frame.head.len() + 1);
    view.above = view.above.min(frame.luns.len().saturating_sub(room));
    let below = frame.luns.len().saturating_sub(view.above + room);
    let shown = frame.luns.iter().skip(view.above).take(room);
    let body: Vec<String> = if view.help {
        HELP.iter().map(|line| cut(line, columns)).collect()
    } else {
        frame.head.iter().chain(shown).cloned().collect()
    };

    let mut out = io::stdout().lock();
    queue!(out, BeginSynchronizedUpdate, cursor::MoveTo(0, 0), terminal::DisableLineWrap)?;
    for row in 0..lines {
        queue!(
            out,
            cursor::MoveTo(0, u16::try_from(row).unwrap_or(u16::MAX)),
            Clear(ClearType::UntilNewLine)
        )?;
        let text = if row + 1 == lines {
            cut(&keys(view, below), columns)
        } else {
            body.get(row).cloned().unwrap_or_default()
        };
        if colour {
            out.write_all(text.as_bytes())?;
        } else {
            write!(out, "{}", anstream::adapter::strip_str(&text))?;
        }
    }
    queue!(out, terminal::EnableLineWrap, EndSynchronizedUpdate)?;
    out.flush()
}

/// The last line.
fn keys(view: &View, below: usize) -> String {
    let sorts = [
        (Sort::Iops, "iops"),
        (Sort::Bandwidth, "bandwidth"),
        (Sort::Latency, "latency"),
        (Sort::Errors, "errors"),
    ];
    let sorts = sorts
        .map(|(sort, name)| styled(name, if sort == view.sort { BOLD.underline() } else { DIM }))
        .join(" ");
    let pause =
        if view.paused { styled("PAUSED (p)", WARN.bold()) } else { styled("p pause", DIM) };
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let more = match (view.above, below) {
        (0, 0) => String::new(),
        (above, below) => styled(&format!("   {above} more above, {below} below"), WARN),
    };
    format!(
        "{} {sorts}   {pause}   {}   {}{more}",
        styled("sort by", DIM),
        styled("h help  q quit", DIM),
        styled(&format!("on {}", host.trim()), DIM)
    )
}
