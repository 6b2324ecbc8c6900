//! The terminal: taken over while a [`Screen`] lives, and restored however the program ends, by a panic too.

use crate::view::{Key, ViewState};
use lockstep_operations::top::Snapshot;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use ratatui::widgets::Paragraph;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Stdout, stdout};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A terminal that shows snapshots.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

/// The terminal's input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScreenInput {
    /// A key was pressed.
    Key(Key),
    /// The terminal has another size.
    Resized,
}

impl Screen {
    /// Takes over the terminal of stdout.
    ///
    /// # Errors
    /// Stdout is no terminal.
    pub fn open() -> io::Result<Self> {
        restore_on_panic();
        enable_raw_mode()?;
        IS_TAKEN.store(true, Ordering::SeqCst);
        // from here on, an error leaves a terminal to restore
        let opened = || -> io::Result<Self> {
            execute!(stdout(), EnterAlternateScreen, Hide)?;
            Ok(Self { terminal: Terminal::new(CrosstermBackend::new(stdout()))? })
        };
        opened().inspect_err(|_| restore())
    }

    /// The columns and lines of the terminal of stdout, if it is a terminal.
    pub fn size() -> Option<(u16, u16)> {
        size().ok().filter(|(width, height)| *width > 0 && *height > 0)
    }

    /// Whether the terminal of stdin was closed. [`Screen::input`] does not return then: crossterm reads from
    /// such a terminal for ever.
    pub fn is_gone() -> bool {
        let stdin = std::io::stdin();
        let mut asked = [PollFd::new(&stdin, PollFlags::IN)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let is_asked = poll(&mut asked, Some(&at_once)).is_ok();
        is_asked && asked[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
    }

    /// Draws a snapshot.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn show(&mut self, snapshot: &Snapshot, view: &ViewState) -> io::Result<()> {
        self.terminal.draw(|frame| crate::draw(frame, snapshot, view))?;
        Ok(())
    }

    /// Draws a text, as far as it fits.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn show_text(&mut self, text: &str) -> io::Result<()> {
        self.terminal.draw(|frame| frame.render_widget(Paragraph::new(text), frame.area()))?;
        Ok(())
    }

    /// The next input, if there is one within `timeout`.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn input(&mut self, timeout: Duration) -> io::Result<Option<ScreenInput>> {
        if !event::poll(timeout)? {
            return Ok(None);
        }
        Ok(match event::read()? {
            Event::Key(event) => key_of(event).map(ScreenInput::Key),
            Event::Resize(..) => Some(ScreenInput::Resized),
            _ => None,
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Whether the terminal is to be restored.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Restores the terminal, once: a second time would move the cursor back, onto the message of a panic. An
/// error is ignored: the terminal is gone.
fn restore() {
    if !IS_TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let _ = execute!(stdout(), Show, LeaveAlternateScreen);
    let _ = disable_raw_mode();
}

/// Prints a panic's message on the operator's screen, after the terminal was restored.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
    });
}

fn key_of(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let is_control = event.modifiers.contains(KeyModifiers::CONTROL);
    Some(match event.code {
        KeyCode::Char(letter) if is_control => Key::Ctrl(letter),
        KeyCode::Char(letter) => Key::Char(letter),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_when_it_is_pressed_and_control_is_told_from_the_letter() {
        let key = |code, modifiers, kind| key_of(KeyEvent::new_with_kind(code, modifiers, kind));
        let (none, press) = (KeyModifiers::NONE, KeyEventKind::Press);
        assert_eq!(key(KeyCode::Char('s'), none, press), Some(Key::Char('s')));
        assert_eq!(key(KeyCode::Char('S'), KeyModifiers::SHIFT, press), Some(Key::Char('S')));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL, press), Some(Key::Ctrl('c')));
        assert_eq!(key(KeyCode::Enter, none, KeyEventKind::Release), None);
        assert_eq!(key(KeyCode::F(1), none, press), None);
    }
}
