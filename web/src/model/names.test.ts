import { expect, test } from 'vitest'
import { shortFunction, shortType } from './names'

const short = (full: string) => {
  const { name, body } = shortFunction(full)
  return body === '' ? name : `${name} (${body})`
}

test('Rust', () => {
  const cases: [string, string][] = [
    ['shop::pricing::spread_by_weight', 'pricing::spread_by_weight'],
    ['shop::routes::checkout::checkout::{async_fn#0}', 'checkout::checkout (async)'],
    ['<F as axum::handler::Handler<(M,T1,T2,T3),S>>::call::{async_block#0}<fn(axum::extract::state::State<A>) -> B>', 'F::call (async)'],
    ['<core::pin::Pin<P> as core::future::future::Future>::poll', 'Pin::poll'],
    ['tokio::runtime::task::core::Core<T,S>::poll::{closure#0}<axum::serve::Serve>', 'Core::poll (closure)'],
    ['tokio::runtime::context::set_scheduler::{{closure}}', 'context::set_scheduler (closure)'],
    ['core::ops::function::FnOnce::call_once{{vtable.shim}}', 'FnOnce::call_once'],
    ['__rustc[9a1b2c3d4e5f6071]::rust_panic', '__rustc::rust_panic'],
    ['<std::sys::thread::unix::Thread>::new::thread_start', 'new::thread_start'],
    ['<&mut alloc::vec::Vec<T> as std::io::Read>::read', 'Vec::read'],
    ['main', 'main'],
  ]
  for (const [full, expected] of cases) expect(short(full), full).toBe(expected)
})

test('C and C++', () => {
  const cases: [string, string][] = [
    ['start_thread', 'start_thread'],
    ['std::vector<int, std::allocator<int> >::at(unsigned long) const', 'vector::at'],
    ['(anonymous namespace)::total(Basket const&)', 'total'],
    ['void std::sort<Item*>(Item*, Item*)', 'std::sort'],
    ['Money::operator()(int) const', 'Money::operator()'],
    ['Money::operator<<(int)', 'Money::operator<<'],
  ]
  for (const [full, expected] of cases) expect(short(full), full).toBe(expected)
})

test('whatever cannot be read stays as it is', () => {
  for (const odd of ['', '<', '>>', '{}', '::', '<<<<<', '((((', 'a::{']) expect(() => short(odd)).not.toThrow()
  expect(short('??')).toBe('??')
})

test('types lose their modules', () => {
  expect(shortType('core::option::Option<alloc::string::String>')).toBe('Option<String>')
  expect(shortType('&shop::pricing::Basket')).toBe('&Basket')
})
