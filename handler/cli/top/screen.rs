// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The live view: draws whenever there is news, a key or another size, and leaves the terminal as
//! it was.

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

use super::Sort;
use super::frame::frame;
use super::history::History;
use crate::interrupt::Interrupt;
use crate::scrape::Picture;
use crate::show::{BOLD, DIM, DOUBTFUL, cut, styled};

/// How soon a scrape that has come is seen.
const GLANCE: Duration = Duration::from_millis(50);

/// The status of a process that ends so, as shells have it.
const HUNG_UP: i32 = 128 + SIGHUP;

/// A scrape, and when.
pub(super) type News = (Instant, Result<Picture, String>);

/// What the keys have chosen.
struct View {
    sort: Sort,
    paused: bool,
    /// How many LUNs are above the first one that is shown.
    above: usize,
}

enum Next {
    Draw,
    Nothing,
    Quit,
}

/// Puts the terminal back, however the view ends.
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
        // There is nobody left to tell.
        drop(execute!(io::stdout(), cursor::Show, terminal::LeaveAlternateScreen));
        drop(terminal::disable_raw_mode());
    }
}

/// Shows what comes through `news` until somebody presses q.
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
    let mut view = View { sort, paused: false, above: 0 };
    draw(&history, &mut view, colour)?;
    loop {
        let mut next = Next::Nothing;
        if event::poll(GLANCE)? {
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
    let body: Vec<&String> = frame.head.iter().chain(shown).take(lines.saturating_sub(1)).collect();

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
            body.get(row).map_or(String::new(), |line| (*line).clone())
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
        if view.paused { styled("PAUSED (p)", DOUBTFUL.bold()) } else { styled("p pause", DIM) };
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let more = match (view.above, below) {
        (0, 0) => String::new(),
        (above, below) => styled(&format!("   {above} more above, {below} below"), DOUBTFUL),
    };
    format!(
        "{} {sorts}   {pause}   {}   {}{more}",
        styled("sort by", DIM),
        styled("q quit", DIM),
        styled(&format!("on {}", host.trim()), DIM)
    )
}
