//! The operator's view: page, selection, order, pause. Only keys change it.

use lockstep_operations::top::{NodeLine, Snapshot};
use std::cmp::Ordering;

/// A key, independent of the terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// A letter or a sign.
    Char(char),
    /// Ctrl and a letter.
    Ctrl(char),
    /// One line up.
    Up,
    /// One line down.
    Down,
    /// Ten lines up.
    PageUp,
    /// Ten lines down.
    PageDown,
    /// The first line.
    Home,
    /// The last line.
    End,
    /// Opens the selected line.
    Enter,
    /// Back.
    Esc,
}

/// A column by which nodes are sorted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SortColumn {
    /// The order of the file.
    #[default]
    Node,
    /// Entries that they lack.
    Lag,
    /// Datagrams in.
    In,
    /// Datagrams out.
    Out,
    /// Drops.
    Drops,
    /// Utilisation.
    Busy,
    /// Longest stall.
    Stall,
}

impl SortColumn {
    const ALL: [Self; 7] = [Self::Node, Self::Lag, Self::In, Self::Out, Self::Drops, Self::Busy, Self::Stall];

    /// The title of the column.
    pub fn title(self) -> &'static str {
        match self {
            Self::Node => "NODE",
            Self::Lag => "LAG",
            Self::In => "IN/s",
            Self::Out => "OUT/s",
            Self::Drops => "DROPS",
            Self::Busy => "BUSY",
            Self::Stall => "STALL",
        }
    }

    fn next(self) -> Self {
        let at = Self::ALL.iter().position(|column| *column == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()]
    }

    fn figure(self, node: &NodeLine) -> Option<f64> {
        let whole = |number: Option<u64>| number.map(|number| number as f64);
        match self {
            Self::Node => None,
            Self::Lag => whole(node.lag),
            Self::In => node.in_per_second,
            Self::Out => node.out_per_second,
            Self::Drops => whole(node.dropped),
            Self::Busy => node.busy,
            Self::Stall => whole(node.stall_longest_ns),
        }
    }
}

/// A page of the screen.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum ViewPage {
    /// The cluster.
    #[default]
    Overview,
    /// One node or process with all its counters.
    Detail(String),
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ViewState {
    /// Whether colours are used; no meaning depends on them.
    pub color: bool,
    /// The page.
    pub page: ViewPage,
    /// Whether the page of keys is shown over it.
    pub shows_help: bool,
    /// The selected line of the overview: the name of its node or process.
    pub selected: Option<String>,
    /// The selected counter of a detail page.
    pub line: usize,
    /// Whether a detail page shows counters that are 0.
    pub shows_zeros: bool,
    /// The order of nodes.
    pub sort: SortColumn,
    /// Whether this order is reversed.
    pub is_reversed: bool,
    /// Whether the figures are paused.
    pub is_paused: bool,
    /// Whether the operator has left.
    pub is_done: bool,
    /// Whether `Esc` on a detail page ends the program, because there is no overview.
    pub is_single: bool,
}

/// Lines by which a page key moves.
const PAGE: isize = 10;

impl ViewState {
    /// The overview of a cluster.
    pub fn new(color: bool) -> Self {
        Self {
            color,
            page: ViewPage::Overview,
            shows_help: false,
            selected: None,
            line: 0,
            shows_zeros: false,
            sort: SortColumn::Node,
            is_reversed: false,
            is_paused: false,
            is_done: false,
            is_single: false,
        }
    }

    /// The page of a single process.
    pub fn of_process(color: bool, name: &str) -> Self {
        Self { page: ViewPage::Detail(name.to_owned()), is_single: true, ..Self::new(color) }
    }

    /// The nodes in the chosen order; those without the figure come last.
    pub fn sorted<'a>(&self, snapshot: &'a Snapshot) -> Vec<&'a NodeLine> {
        let mut nodes: Vec<_> = snapshot.nodes.iter().collect();
        if self.sort == SortColumn::Node {
            if self.is_reversed {
                nodes.reverse();
            }
            return nodes;
        }
        // the greatest first; the sort is stable
        nodes.sort_by(|a, b| match (self.sort.figure(a), self.sort.figure(b)) {
            (Some(a), Some(b)) if self.is_reversed => a.total_cmp(&b),
            (Some(a), Some(b)) => b.total_cmp(&a),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        });
        nodes
    }

    /// The names that can be selected in the overview, from top to bottom, without repetition.
    pub(crate) fn selectable(&self, snapshot: &Snapshot) -> Vec<String> {
        let nodes = self.sorted(snapshot).into_iter().map(|node| node.name.clone());
        let gateways = snapshot.gateways.iter().map(|gateway| gateway.name.clone());
        let handles = snapshot.handles.iter().map(|handle| handle.process.clone());
        let mut names: Vec<String> = Vec::new();
        for name in nodes.chain(gateways).chain(handles) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The selected name of the overview: the first one until another is selected, or if that one is gone.
    pub(crate) fn selection(&self, snapshot: &Snapshot) -> Option<String> {
        let names = self.selectable(snapshot);
        let chosen = self.selected.as_ref().filter(|name| names.contains(name)).cloned();
        chosen.or_else(|| names.into_iter().next())
    }

    /// Takes a key that was pressed while `snapshot` was shown.
    pub fn key(&mut self, key: Key, snapshot: &Snapshot) {
        match key {
            Key::Char('q') | Key::Ctrl('c') => self.is_done = true,
            Key::Esc if self.shows_help => self.shows_help = false,
            Key::Esc => match self.page {
                ViewPage::Detail(_) if !self.is_single => self.page = ViewPage::Overview,
                _ => self.is_done = true,
            },
            Key::Char('?' | 'h') => self.shows_help = !self.shows_help,
            // any other key only closes the help: the operator does not see what it would act on
            _ if self.shows_help => self.shows_help = false,
            Key::Char('p' | ' ') => self.is_paused = !self.is_paused,
            Key::Up | Key::Char('k') => self.step(-1, snapshot),
            Key::Down | Key::Char('j') => self.step(1, snapshot),
            Key::PageUp => self.step(-PAGE, snapshot),
            Key::PageDown => self.step(PAGE, snapshot),
            Key::Home | Key::Char('g') => self.step(isize::MIN, snapshot),
            Key::End | Key::Char('G') => self.step(isize::MAX, snapshot),
            Key::Char('s') if self.page == ViewPage::Overview => self.sort = self.sort.next(),
            Key::Char('S') if self.page == ViewPage::Overview => self.is_reversed = !self.is_reversed,
            Key::Char('z') if self.page != ViewPage::Overview => {
                (self.shows_zeros, self.line) = (!self.shows_zeros, 0);
            }
            Key::Enter if self.page == ViewPage::Overview => {
                if let Some(name) = self.selection(snapshot) {
                    (self.page, self.line) = (ViewPage::Detail(name), 0);
                }
            }
            _ => {}
        }
    }

    /// Moves the selection.
    fn step(&mut self, by: isize, snapshot: &Snapshot) {
        let moved = |at: usize, count: usize| at.saturating_add_signed(by).min(count.saturating_sub(1));
        match &self.page {
            ViewPage::Overview => {
                let names = self.selectable(snapshot);
                let selected = self.selection(snapshot);
                let at = names.iter().position(|name| Some(name) == selected.as_ref()).unwrap_or(0);
                self.selected = names.get(moved(at, names.len())).cloned();
            }
            ViewPage::Detail(name) => {
                let count = snapshot.process(name).map_or(0, |process| self.counters(process).count());
                self.line = moved(self.line.min(count.saturating_sub(1)), count);
            }
        }
    }

    /// The counters that a detail page shows.
    pub(crate) fn counters<'a>(
        &self,
        process: &'a lockstep_operations::top::ProcessLine,
    ) -> impl Iterator<Item = &'a lockstep_operations::top::CounterLine> + use<'a> {
        let shows_zeros = self.shows_zeros;
        process
            .counters
            .iter()
            .filter(move |counter| shows_zeros || counter.value != 0 || counter.kind == "state")
    }
}
