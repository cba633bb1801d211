//! From program counters to functions, files and lines; inlined functions become frames of their own.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::demangle;
use crate::dwarf::View;
use crate::dwarf::functions::Activation;
use crate::dwarf::lines::join;
use crate::modules::Modules;
use crate::unwind::StackFrame;

/// One function activation with its place in the source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Located {
    pub(crate) function: String,
    /// As recorded; empty where unknown.
    pub(crate) file: String,
    /// Joined with the directory of compilation.
    pub(crate) full_path: String,
    pub(crate) line: u32,
    pub(crate) inlined: bool,
    /// A name was found, not only an address.
    pub(crate) named: bool,
    /// Where its variables are described.
    pub(crate) activation: Option<Activation>,
}

/// The activations at one program counter, innermost first.
type Places = Vec<Rc<Located>>;

/// Debug information that was opened for one capture.
pub(crate) struct Session<'a> {
    pub(crate) modules: &'a Modules,
    views: RefCell<HashMap<usize, Option<Rc<View<'a>>>>>,
    /// By module and address: most threads of a service stand at the same few places.
    located: RefCell<HashMap<(usize, u64), Places>>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(modules: &'a Modules) -> Self {
        Self { modules, views: RefCell::default(), located: RefCell::default() }
    }

    /// The debug information of a module, where it has any.
    pub(crate) fn view(&self, module: usize) -> Option<Rc<View<'a>>> {
        if let Some(view) = self.views.borrow().get(&module) {
            return view.clone();
        }
        let open = || Some(Rc::new(self.modules.debug(module)?.view(self.modules.elf(module)?)));
        let view = open();
        self.views.borrow_mut().insert(module, view.clone());
        view
    }

    /// The frames that stand at one program counter, innermost first; never empty.
    pub(crate) fn locate(&self, frame: &StackFrame) -> Places {
        if frame.signal_frame {
            return vec![Rc::new(self.by_symbol(frame, frame.module_offset))];
        }
        let address = frame.module_offset.wrapping_sub(frame.pc.wrapping_sub(frame.lookup_pc));
        let Some(module) = frame.module else { return vec![Rc::new(self.by_symbol(frame, address))] };
        if let Some(known) = self.located.borrow().get(&(module, address)) {
            return known.clone();
        }
        let found = self.by_debug_information(module, address).filter(|found| !found.is_empty());
        let found = found.unwrap_or_else(|| vec![self.by_symbol(frame, address)]);
        let found: Places = found.into_iter().map(Rc::new).collect();
        self.located.borrow_mut().insert((module, address), found.clone());
        found
    }

    /// A frame by its symbol alone: cheap.
    pub(crate) fn locate_coarsely(&self, frame: &StackFrame) -> Located {
        self.by_symbol(frame, frame.module_offset.wrapping_sub(frame.pc.wrapping_sub(frame.lookup_pc)))
    }

    fn by_debug_information(&self, module: usize, address: u64) -> Option<Vec<Located>> {
        let view = self.view(module)?;
        let number = view.unit_at(address)?;
        let unit = view.unit(number)?;
        let activations = view.activations(address);
        let source = view.line_at(number, address);
        let source = source.map(|(file, line)| (view.source_file(number, file), line));
        let (mut file, mut line) = source.unwrap_or_default();
        let mut found = Vec::new();
        for activation in activations {
            let name = view.function_name(activation.die);
            found.push(Located {
                named: name.is_some(),
                function: name.unwrap_or_else(|| self.symbol_or_address(Some(module), address).0),
                file: file.clone(),
                full_path: join(&unit.directory, &file),
                line,
                inlined: activation.call.is_some(),
                activation: Some(activation.clone()),
            });
            // The frame outwards stands where this one was called.
            if let Some((call_file, call_line)) = activation.call {
                (file, line) = (view.source_file(number, call_file), call_line);
            }
        }
        if found.is_empty() && line > 0 {
            let (function, named) = self.symbol_or_address(Some(module), address);
            let full_path = join(&unit.directory, &file);
            found.push(Located { function, named, file, full_path, line, ..Located::default() });
        }
        Some(found)
    }

    fn by_symbol(&self, frame: &StackFrame, address: u64) -> Located {
        let (function, named) = match frame.module {
            Some(module) => self.symbol_or_address(Some(module), address),
            None => (format!("{:#x}", frame.pc), false),
        };
        Located { function, named, ..Located::default() }
    }

    /// A symbol's name, or `module+0x1234`; the flag tells which.
    fn symbol_or_address(&self, module: Option<usize>, address: u64) -> (String, bool) {
        let Some(index) = module else { return (format!("{address:#x}"), false) };
        // A separate debug file has the full symbol table of a stripped module.
        let separate = self.modules.debug(index).and_then(|debug| debug.separate());
        let symbol = separate
            .into_iter()
            .chain(self.modules.elf(index))
            .find_map(|elf| elf.symbol_at(address).map(|(symbol, _)| elf.symbol_name(symbol)));
        if let Some(name) = symbol.filter(|name| !name.is_empty()) {
            return (demangle::demangle(name), true);
        }
        let path = self.modules.module(index).map_or("", |module| module.mapping.path.as_str());
        let name = path.rsplit('/').next().unwrap_or(path);
        (format!("{name}+{address:#x}"), false)
    }

    /// Name of the function or object at an address of the process.
    pub(crate) fn name_at(&self, address: u64, memory: &dyn crate::memory::Memory) -> Option<String> {
        let place = self.modules.place(address, memory).map(|place| (place.module, place.address));
        let (module, address) = place.or_else(|| self.modules.place_of_data(address))?;
        let (name, named) = self.symbol_or_address(Some(module), address);
        named.then_some(name)
    }
}
