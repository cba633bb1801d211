//! The same function in the spellings of three demanglers. Rules, from spelling to a common form:
//!
//! | spelling | common form |
//! |---|---|
//! | `f<int>`, `f::<i32>`, `f(int) const`, `long f<int>(int)`, `f@GLIBC_2.2.5`, `f.isra.0`, `core[1f2e]::f` | `f`, `core::f` |
//! | `<T as Trait>::f` of a mangled name, `module::{impl#3}::f` of the debug information | `{}::f` |
//! | `<T>::f` | `T::f` |
//! | `{lambda(int)#1}`, `<lambda(int)>`, clang's `$_0`; `(anonymous namespace)` | `{}`; `{anonymous}` |
//! | `{closure#0}`, `{async_fn#0}`, `{async_block#0}` | `{closure#0}` |
//! | `__rustc::f`: a symbol that the runtime exports, `std::rt::f`; its panic handler is exported as `rust_begin_unwind` | `{}::f` |
//! | `__GI_raise`, `__libc_start_main_impl`, `gsignal`, `__pthread_create_2_1`: symbols of one function of the C library | `raise`, `libc_start_main` |
//! | `{{closure}}`: a closure whose number the older mangling leaves out | any `{closure#0}` |
//! | a lambda's `operator()`, whatever stands before it | `{}::operator()` |
//! | a hash at the end of an old Rust name | nothing |
//!
//! What stands before `{}` is spelled too differently to be compared: the rest decides.

/// Whether two names may be of one function.
pub(crate) fn same(ours: &str, theirs: &str) -> bool {
    let (ours, theirs) = (segments(ours), segments(theirs));
    let nested = [&ours, &theirs].into_iter().any(|name| name.first().is_some_and(|first| first == "{}"));
    let ours = ours.strip_prefix(&["{}".to_owned()]).unwrap_or(&ours);
    let theirs = theirs.strip_prefix(&["{}".to_owned()]).unwrap_or(&theirs);
    let equal = |(ours, theirs): (&String, &String)| {
        ours == theirs
            || (is_closure(ours) && is_closure(theirs) && (ours == "{closure}" || theirs == "{closure}"))
    };
    (nested || ours.len() == theirs.len()) && ours.iter().rev().zip(theirs.iter().rev()).all(equal)
}

fn is_closure(segment: &str) -> bool {
    segment.starts_with("{closure")
}

/// Whether it is a name at all, not an address for want of one.
pub(crate) fn is_named(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with("0x")
        && !name.contains("+0x")
        && !name.starts_with("___lldb_unnamed")
}

fn segments(name: &str) -> Vec<String> {
    let name = name.replace("(anonymous namespace)", "{anonymous}");
    let name = name.replace("_$u7b$$u7b$closure", "$u7b$$u7b$closure");
    let name = name.replace("$LT$", "<").replace("$GT$", ">");
    let name =
        name.replace("$u7b$$u7b$", "{").replace("$u7d$$u7d$", "}").replace("{{", "{").replace("}}", "}");
    let name = unqualified(without_return_type(&name));
    let mut segments = Vec::new();
    for segment in split(&name) {
        let segment = segment.split('@').next().unwrap_or_default();
        let bare = without_clone(segment);
        let bare = bare.strip_suffix("{vtable.shim}").unwrap_or(bare);
        let bare = if bare == "panic_handler" { "rust_begin_unwind" } else { bare };
        if is_hash(bare) {
            continue;
        }
        let is_nested = bare == "__rustc"
            || bare.starts_with("{impl#")
            || bare.starts_with("{lambda")
            || bare.starts_with("$_")
            || bare == "{}";
        if is_nested {
            segments = vec!["{}".to_owned()];
        } else if let Some(number) = bare.strip_prefix("{async_").and_then(|rest| rest.split_once('#')) {
            segments.push(format!("{{closure#{}", number.1));
        } else if !bare.is_empty() {
            segments.push(bare.to_owned());
        }
    }
    match segments.as_mut_slice() {
        [only] => *only = without_alias(only),
        // Debuggers disagree about the scopes around a lambda.
        [.., last] if last == "operator()" => return vec!["{}".to_owned(), last.clone()],
        _ => {}
    }
    segments
}

/// The C library's functions have several symbols each.
fn without_alias(name: &str) -> String {
    let bare = name.trim_start_matches('_');
    let bare = bare.strip_prefix("GI_").unwrap_or(bare).trim_start_matches('_');
    let bare = bare.strip_suffix("_impl").unwrap_or(bare);
    let bare = if name.starts_with("__") { without_version(bare) } else { bare };
    if bare == "gsignal" { "raise".to_owned() } else { bare.to_owned() }
}

/// `pthread_create_2_1` is what the symbol `pthread_create@GLIBC_2.1` is made of.
fn without_version(name: &str) -> &str {
    let mut parts = name.rsplitn(3, '_');
    let is_number = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if is_number(parts.next()) && is_number(parts.next()) { parts.next().unwrap_or(name) } else { name }
}

/// lldb writes the return type before a template's name, and parameters after every name.
fn without_return_type(name: &str) -> &str {
    let mut depth = 0;
    let mut begin = 0;
    for (at, character) in name.char_indices() {
        match character {
            '(' if depth == 0 => return &name[begin..],
            '<' | '(' | '[' | '{' => depth += 1,
            '>' | ')' | ']' | '}' => depth -= 1,
            ' ' if depth == 0 && !name[..at].ends_with("operator") => begin = at + 1,
            _ => {}
        }
    }
    name
}

/// Resolves a leading `<T as Trait>` or `<T>` and `<lambda(…)>`.
fn unqualified(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("<lambda") {
        let end = closing(rest, '<', '>', 1).unwrap_or(rest.len());
        return format!("{{}}{}", rest.get(end + 1..).unwrap_or_default());
    }
    let Some(rest) = name.strip_prefix('<') else { return name.to_owned() };
    let Some(end) = closing(rest, '<', '>', 1) else { return name.to_owned() };
    let (inside, behind) = (&rest[..end], &rest[end + 1..]);
    if top_level(inside, " as ") {
        format!("{{}}{behind}")
    } else {
        format!("{}{behind}", unqualified(inside))
    }
}

fn is_hash(segment: &str) -> bool {
    segment.len() == 17
        && segment.strip_prefix('h').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Where the bracket closes that is open at `depth`; arrows do not count.
fn closing(text: &str, open: char, close: char, mut depth: i32) -> Option<usize> {
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        if character == open {
            depth += 1;
        } else if character == close && before != '-' {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
        before = character;
    }
    None
}

fn top_level(text: &str, word: &str) -> bool {
    let mut depth = 0;
    text.char_indices().any(|(at, character)| {
        match character {
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => depth -= 1,
            _ => {}
        }
        depth == 0 && text[at..].starts_with(word)
    })
}

/// Path segments without anything in brackets; braces are kept with what is in them, save for parameters.
fn split(name: &str) -> Vec<String> {
    let mut segments = vec![String::new()];
    let mut depth = 0;
    let mut characters = name.char_indices();
    while let Some((at, character)) = characters.next() {
        let last = segments.last_mut().expect("never empty");
        if depth == 0 && last == "operator" && !character.is_alphanumeric() {
            // An operator's own brackets; what follows them are parameters or template arguments.
            let symbol: String =
                name[at..].chars().take_while(|c| "<>=!+-*/%&|^~[]()".contains(*c)).collect();
            let symbol = ["()", "[]"].into_iter().find(|own| symbol.starts_with(own)).unwrap_or(&symbol);
            last.push_str(symbol);
            for _ in 1..symbol.len() {
                characters.next();
            }
            continue;
        }
        match character {
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => depth -= 1,
            _ if depth > 0 => {}
            ':' => {
                if !last.is_empty() {
                    segments.push(String::new());
                }
            }
            // Behind the parameters of a C++ function only ` const` may follow.
            ' ' => break,
            _ => last.push(character),
        }
    }
    segments
}

/// Without what compilers append to a function's copies.
fn without_clone(segment: &str) -> &str {
    const ENDINGS: [&str; 6] = [".constprop", ".isra", ".part", ".cold", ".llvm", ".lto_priv"];
    let cut = ENDINGS.iter().filter_map(|ending| segment.find(ending)).min();
    cut.map_or(segment, |cut| &segment[..cut])
}

#[test]
fn spellings_of_one_function() {
    for (ours, theirs) in [
        ("<core::option::Option<u16>>::expect", "core::option::Option<u16>::expect<u16>"),
        ("<generic::Money as core::ops::Add>::add", "generic::{impl#1}::add"),
        ("<str>::len", "core::str::{impl#0}::len"),
        ("__pthread_create_2_1", "pthread_create@GLIBC_2.2.5"),
        ("std::rt::lang_start::<()>::{closure#0}", "std::rt::lang_start::{closure#0}<()>"),
        ("futures::charge::{closure#0}", "futures::charge::{async_fn#0}"),
        ("core::panicking::panic_fmt", "core[846817f741e54dfd]::panicking::panic_fmt"),
        ("shop::total", "shop::total(shop::Named*, unsigned char)"),
        (
            "(anonymous namespace)::Ring<long, 4>::operator[]",
            "(anonymous namespace)::Ring<long, 4>::operator[](int)",
        ),
        ("main::{lambda(long, Mode)#1}::operator()", "<lambda(long, Mode)>::operator()(long, Mode) const"),
        ("main::{lambda(long, Mode)#1}::operator()", "main::$_0::operator()(long, Mode) const"),
        ("work", "work.constprop.0"),
        ("std::__invoke_r<long, f&>", "std::enable_if<a<b()>, long>::type std::__invoke_r<long, f&>(f&)"),
        ("a::call_once{{vtable.shim}}", "a::call_once$u7b$$u7b$vtable.shim$u7d$$u7d$::ha8d8260fb42034ce"),
        ("__rustc::rust_begin_unwind", "std::panicking::panic_handler"),
        ("__libc_start_main", "__libc_start_main_impl"),
        ("f::{closure#3}", "f::_$u7b$$u7b$closure$u7d$$u7d$::h88873d422124a730"),
        ("main::operator()", "operator()"),
        ("std::rt::lang_start::{{closure}}", "std::rt::lang_start::{{closure}}::hde761f785d01ffd5"),
        ("std::operator<", "std::operator< <char>(int)"),
    ] {
        assert!(same(ours, theirs), "{ours} {:?} and {theirs} {:?}", segments(ours), segments(theirs));
    }
    for (ours, theirs) in [
        ("a::f", "b::f"),
        ("<a::T as core::ops::Add>::add", "a::{impl#1}::sub"),
        ("f::{closure#0}", "f::{closure#1}"),
        ("std::operator<", "std::operator>"),
    ] {
        assert!(!same(ours, theirs), "{ours} and {theirs}");
    }
}
