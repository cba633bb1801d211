//! Our reading against a debugger's: frames one by one, then registers and scalar variables of each.

use std::collections::BTreeMap;

use freezeframe_debuginfo::{Recovery, Stack, StackFrame};
use freezeframe_model::{Capture, Frame, Value, Variable};

use crate::differences::Difference;
use crate::names;
use crate::readers::{ReadFrame, ReadThread, ReadVariable, Reading};

/// DWARF numbers of the registers that calls preserve (System V ABI for AMD64, figure 3.36).
const REGISTERS: [(&str, usize); 7] =
    [("rsp", 7), ("rbp", 6), ("rbx", 3), ("r12", 12), ("r13", 13), ("r14", 14), ("r15", 15)];

/// What we say of a variable whose register is lost; that registers are not lost is compared on its own.
const NOT_KEPT: &str = "it was in a register whose value was not kept";

/// What was compared.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Functions and lines, inlined ones included.
    pub(crate) frames: usize,
    /// Values of registers of outer frames.
    pub(crate) registers: usize,
    /// Values that both have.
    pub(crate) scalars: usize,
    /// Values that only we have.
    pub(crate) ours_only: usize,
    /// Values that only they have.
    pub(crate) theirs_only: usize,
    /// Variables that neither has a value of.
    pub(crate) neither: usize,
    /// Values of theirs from before the variable's declaration, which we do not show.
    pub(crate) before_declaration: usize,
    /// Values of theirs from registers that calls do not preserve, which we do not show.
    pub(crate) not_kept: usize,
    /// Pointers that we show as the text behind them where they show an address only.
    pub(crate) as_text: usize,
    /// Frames that were replaced by a tail call and that they infer.
    pub(crate) inferred: usize,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.frames += other.frames;
        self.registers += other.registers;
        self.scalars += other.scalars;
        self.ours_only += other.ours_only;
        self.theirs_only += other.theirs_only;
        self.neither += other.neither;
        self.before_declaration += other.before_declaration;
        self.not_kept += other.not_kept;
        self.as_text += other.as_text;
        self.inferred += other.inferred;
    }
}

/// A comparison under way.
pub(crate) struct Comparison<'a> {
    pub(crate) case: &'a str,
    pub(crate) tool: &'static str,
    pub(crate) counts: Counts,
    pub(crate) differences: Vec<Difference>,
}

impl Comparison<'_> {
    /// Compares everything; `stack` is the failing thread's.
    pub(crate) fn run(&mut self, capture: &Capture, stack: &Stack, reading: &Reading) {
        for theirs in &reading.threads {
            match capture.threads.iter().find(|ours| ours.id == theirs.id) {
                Some(ours) => self.thread(&ours.frames, ours.failing.then_some(stack), theirs),
                None => self.differ("", "<frames>", "no such thread", "a thread"),
            }
        }
        if capture.threads.len() > reading.threads.len() {
            self.differ("", "<frames>", capture.threads.len(), reading.threads.len());
        }
    }

    fn differ(&mut self, frame: &str, variable: &str, ours: impl ToString, theirs: impl ToString) {
        self.differences.push(Difference {
            case: self.case.to_owned(),
            tool: self.tool,
            frame: frame.to_owned(),
            variable: variable.to_owned(),
            ours: ours.to_string(),
            theirs: theirs.to_string(),
        });
    }

    fn thread(&mut self, ours: &[Frame], stack: Option<&Stack>, theirs: &ReadThread) {
        let read = |frame: &&ReadFrame| frame.kind != "tail";
        self.counts.inferred += theirs.frames.iter().filter(|frame| !read(frame)).count();
        let theirs: Vec<&ReadFrame> = theirs.frames.iter().filter(read).collect();
        let ours = physical(ours, |frame| frame.inlined);
        let theirs = physical(&theirs, |frame| frame.kind == "inline");
        for (at, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            let name = |level: usize| ours.get(level).map_or("", |frame| frame.function.as_str());
            let (Some(mine), Some(other)) = (ours.last(), theirs.last()) else { continue };
            // lldb gives the frames around an inlined one the address where that begins.
            let pc = theirs.first().map_or(0, |frame| frame.pc);
            if mine.address != pc {
                let texts = (format!("{:#x}", mine.address), format!("{pc:#x}"));
                self.differ(&mine.function, "<pc>", texts.0, texts.1);
                return;
            }
            if let Some(frame) = stack.and_then(|stack| stack.frames.get(at)) {
                let guessed = stack.into_iter().flat_map(|stack| &stack.frames).take(at + 1);
                let guessed = guessed.map(|frame| frame.recovery).any(Recovery::is_guess);
                self.registers(&mine.function, frame, other, guessed);
            }
            if ours.len() != theirs.len() {
                let mine: Vec<&str> = ours.iter().map(|frame| frame.function.as_str()).collect();
                let other: Vec<&str> = theirs.iter().map(|frame| function_of(frame)).collect();
                self.differ(name(0), "<frames>", mine.join(" < "), other.join(" < "));
                continue;
            }
            for (mine, other) in ours.iter().zip(*theirs) {
                self.frame(mine, other);
            }
        }
        if ours.len() != theirs.len() {
            let outermost = ours.last().and_then(|frames| frames.last()).map_or("", |frame| &frame.function);
            let end = stack.map_or(String::new(), |stack| format!(" ({:?})", stack.end));
            self.differ(outermost, "<frames>", format!("{}{end}", ours.len()), theirs.len());
        }
    }

    fn registers(&mut self, function: &str, ours: &StackFrame, theirs: &ReadFrame, guessed: bool) {
        let cfa = theirs.registers.get("cfa").copied().flatten();
        if let (Some(mine), Some(other)) = (ours.cfa, cfa) {
            self.counts.registers += 1;
            if mine != other {
                self.differ(function, "<cfa>", format!("{mine:#x}"), format!("{other:#x}"));
            }
        }
        for (name, number) in REGISTERS {
            let mine = ours.registers.values.get(number).copied().flatten();
            let Some(other) = theirs.registers.get(name).copied().flatten() else { continue };
            // Without tables they take it that a function leaves all registers alone; we do not.
            if guessed && mine.is_none() {
                self.counts.not_kept += 1;
                continue;
            }
            self.counts.registers += 1;
            if mine != Some(other) {
                let mine = mine.map_or("unknown".to_owned(), |mine| format!("{mine:#x}"));
                self.differ(function, &format!("<{name}>"), mine, format!("{other:#x}"));
            }
        }
    }

    fn frame(&mut self, ours: &Frame, theirs: &ReadFrame) {
        self.counts.frames += 1;
        let other = function_of(theirs);
        if theirs.kind != "signal" {
            let (named, other_named) = (names::is_named(&ours.function), names::is_named(other));
            if other_named && !(named && names::same(&ours.function, other)) {
                self.differ(&ours.function, "<function>", &ours.function, other);
            }
        }
        if ours.line != theirs.line && theirs.line != 0 {
            self.differ(&ours.function, "<line>", ours.line, theirs.line);
        } else if theirs.line != 0 && base_name(&ours.file) != base_name(&theirs.file) {
            self.differ(&ours.function, "<file>", &ours.file, &theirs.file);
        }
        if let Some(variables) = &theirs.variables {
            self.variables(ours, variables);
        }
    }

    fn variables(&mut self, ours: &Frame, theirs: &[ReadVariable]) {
        let mut by_name: BTreeMap<&str, Vec<&ReadVariable>> = BTreeMap::new();
        for variable in theirs {
            by_name.entry(&variable.name).or_default().push(variable);
        }
        for (name, mut others) in by_name {
            // One that hides another is declared below it.
            others.sort_by_key(|other| other.line);
            let mine: Vec<&Variable> = ours.variables.iter().filter(|mine| mine.name == name).collect();
            for (at, other) in others.iter().enumerate() {
                if mine.len() == others.len() {
                    self.variable(ours, mine.get(at).copied(), other);
                    continue;
                }
                // One of us leaves some out or repeats some: any of ours may be meant.
                let is_equal =
                    |mine: &&Variable| value_of(mine).is_ok_and(|mine| equal(mine, other) == Some(true));
                let found = mine.iter().copied().find(is_equal).or(mine.first().copied());
                self.variable(ours, found, other);
            }
        }
    }

    fn variable(&mut self, frame: &Frame, ours: Option<&Variable>, theirs: &ReadVariable) {
        let ours = ours.map_or(Err("no such variable"), value_of);
        let counts = &mut self.counts;
        match (ours, &theirs.value) {
            (Ok(_), None) => counts.ours_only += 1,
            (Err(_), None) => counts.neither += 1,
            (Err(why), Some(_)) if why.starts_with("not set yet") && theirs.line > frame.line => {
                counts.before_declaration += 1;
            }
            // Their unwinders take over registers that the tables are silent about, whoever has used them since.
            (Err(why), Some(_)) if why == NOT_KEPT => counts.not_kept += 1,
            (Err(why), Some(value)) => {
                counts.theirs_only += 1;
                self.differ(&frame.function, &theirs.name, format!("<{why}>"), value);
            }
            (Ok(mine), Some(value)) => match equal(mine, theirs) {
                Some(true) => counts.scalars += 1,
                None => counts.as_text += 1,
                Some(false) => {
                    let text = theirs.text.as_ref().map(|text| format!(" {text}")).unwrap_or_default();
                    self.differ(&frame.function, &theirs.name, mine, format!("{value}{text}"));
                }
            },
        }
    }
}

/// Groups frames by physical frame: inlined ones, then the function that they were inlined into.
fn physical<T>(frames: &[T], inlined: impl Fn(&T) -> bool) -> Vec<&[T]> {
    frames.split_inclusive(|frame| !inlined(frame)).collect()
}

fn function_of(frame: &ReadFrame) -> &str {
    frame.function.as_deref().unwrap_or_default()
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn value_of(variable: &Variable) -> Result<&str, &str> {
    match &variable.value {
        Value::Text(text) => Ok(text),
        Value::Unavailable(why) | Value::Cut(why) => Err(why),
        Value::Redacted(_) => Err("redacted"),
        Value::Composite => Err("not a scalar"),
    }
}

/// Whether our text means the same; `None` where it shows the text behind a pointer and they have only the address.
fn equal(ours: &str, theirs: &ReadVariable) -> Option<bool> {
    let value = theirs.value.as_deref().unwrap_or_default();
    let first = ours.split(' ').next().unwrap_or_default();
    let bits = u32::try_from(theirs.size * 8).unwrap_or(128).min(128);
    let masked = |text: &str| {
        let number =
            text.parse::<i128>().map(|number| number as u128).or_else(|_| text.parse::<u128>()).ok()?;
        Some(number & (u128::MAX >> (128 - bits)))
    };
    let same_number = |ours: &str| masked(ours).is_some() && masked(ours) == masked(value);
    Some(match theirs.kind.as_str() {
        "int" => same_number(first),
        "bool" => matches!((ours, value), ("true", "1") | ("false", "0")) || same_number(first),
        "char" => {
            let character = value.parse().ok().and_then(char::from_u32);
            character.is_some_and(|character| format!("{character:?}") == ours)
        }
        "float" => match (ours.parse::<f64>(), value.parse::<f64>()) {
            (Ok(ours), Ok(theirs)) if ours.is_nan() && theirs.is_nan() => true,
            (Ok(mine), Ok(other)) if bits == 32 => mine as f32 == other as f32,
            (Ok(mine), Ok(other)) => mine == other,
            _ => false,
        },
        // gdb puts a combination of flags into brackets.
        "enum" => {
            let text = theirs.text.as_deref().map(|text| text.trim_matches(['(', ')']));
            text == Some(ours) || same_number(first)
        }
        "pointer" if ours.starts_with('"') => match &theirs.text {
            Some(text) => ours == format!("{text:?}"),
            None => return None,
        },
        "pointer" => {
            let address = first.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
            let address = address.or((first == "null").then_some(0));
            address.is_some() && address == value.parse().ok()
        }
        _ => false,
    })
}
