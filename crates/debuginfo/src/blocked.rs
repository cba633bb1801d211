//! Which thread holds the lock that another one waits for.
//!
//! Read where the lock says so (glibc's mutexes), else guessed from the other threads' stacks and labelled as a guess.

use std::cell::OnceCell;
use std::collections::HashMap;

use freezeframe_model::BlockedOn;

use crate::capture::StoppedThread;
use crate::memory::Memory;

/// Part of a stack that is searched for a guard, in bytes from the stack pointer.
const STACK_BYTES_MAX: u64 = 64 * 1024;

/// A lock may lie behind the futex word that guards point to, or in front: Rust orders the fields of `Mutex` by alignment.
const NEAR_BYTES: u64 = 64;

/// Offset of `__owner` in glibc's `pthread_mutex_t` (x86-64: `__lock`, `__count`, `__owner`).
const OWNER_OFFSET: u64 = 8;

/// Which threads know the locks that are waited for. All stacks are looked through once, however many threads wait.
pub(crate) struct Locks {
    known: HashMap<u64, Known>,
}

/// Threads in whose registers or stacks a word was found.
#[derive(Default)]
struct Known {
    /// The address itself.
    exact: Vec<i32>,
    /// A little before it.
    near: Vec<i32>,
}

/// What `thread` waits for, where it waits for a futex. `locks` is filled when it is first needed.
pub(crate) fn blocked_on(
    thread: &StoppedThread,
    threads: &[StoppedThread],
    memory: &dyn Memory,
    locks: &OnceCell<Locks>,
) -> Option<BlockedOn> {
    let address = thread.futex?;
    let mut found = BlockedOn { kind: "futex".to_owned(), address, owner: None, guessed: false };
    found.owner = read_owner(address, thread, threads, memory);
    if found.owner.is_none() {
        let locks = locks.get_or_init(|| Locks::search(threads, memory));
        found.owner = locks.guess_owner(address, thread, threads);
        found.guessed = found.owner.is_some();
    }
    Some(found)
}

fn read_owner(
    address: u64,
    thread: &StoppedThread,
    threads: &[StoppedThread],
    memory: &dyn Memory,
) -> Option<i32> {
    let word = |address: u64| {
        let mut bytes = [0; 4];
        memory.read(address, &mut bytes).ok().map(|()| i32::from_le_bytes(bytes))
    };
    // A free lock has no owner; what stands there is of some other structure.
    word(address).filter(|lock| *lock != 0)?;
    let owner = word(address.checked_add(OWNER_OFFSET)?)?;
    threads.iter().any(|other| other.id == owner && owner != thread.id).then_some(owner)
}

impl Locks {
    fn search(threads: &[StoppedThread], memory: &dyn Memory) -> Self {
        let mut waited: Vec<u64> = threads.iter().filter_map(|thread| thread.futex).collect();
        waited.sort_unstable();
        waited.dedup();
        let mut known: HashMap<u64, Known> = HashMap::new();
        for thread in threads {
            for word in reachable_words(thread, memory) {
                let at_or_behind = waited.get(waited.partition_point(|address| *address < word)..);
                for address in at_or_behind.unwrap_or_default() {
                    if word < address.saturating_sub(NEAR_BYTES) {
                        break;
                    }
                    let known = known.entry(*address).or_default();
                    match word == *address {
                        true => note(&mut known.exact, thread.id),
                        false if word.is_multiple_of(4) => note(&mut known.near, thread.id),
                        false => {}
                    }
                }
            }
        }
        Self { known }
    }

    fn guess_owner(&self, address: u64, thread: &StoppedThread, threads: &[StoppedThread]) -> Option<i32> {
        let known = self.known.get(&address)?;
        // Who waits for it does not have it.
        let waits = |id: &i32| threads.iter().any(|other| other.id == *id && other.futex == Some(address));
        let others =
            |ids: &[i32]| ids.iter().copied().filter(|id| *id != thread.id && !waits(id)).collect::<Vec<_>>();
        // Two threads that know the lock are no answer, and a looser look would not be one either.
        let exact = others(&known.exact);
        let holders = if exact.is_empty() { others(&known.near) } else { exact };
        match holders.as_slice() {
            [only] => Some(*only),
            _ => None,
        }
    }
}

/// The threads are looked through one after the other.
fn note(ids: &mut Vec<i32>, id: i32) {
    if ids.last() != Some(&id) {
        ids.push(id);
    }
}

/// The words on a thread's stack and in its registers.
fn reachable_words(thread: &StoppedThread, memory: &dyn Memory) -> Vec<u64> {
    const CHUNK: u64 = 4096;
    let mut words: Vec<u64> = thread.registers.values.iter().flatten().copied().collect();
    let Some(sp) = thread.registers.sp() else { return words };
    let mut at = sp & !7;
    let Some(end) = at.checked_add(STACK_BYTES_MAX) else { return words };
    while at < end {
        // Up to the next page boundary: the stack may end there.
        let length = usize::try_from(CHUNK - at % CHUNK).unwrap_or(8);
        let Ok(bytes) = memory.read_bytes(at, length, length) else { break };
        words.extend(bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)));
        at = at.saturating_add(length as u64);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{Registers, STACK_POINTER};
    use crate::memory::Snapshot;

    const LOCK: u64 = 0x5000;

    fn thread(id: i32, stack: u64, futex: Option<u64>) -> StoppedThread {
        let mut registers = Registers::default();
        registers.set(STACK_POINTER, Some(stack));
        StoppedThread { id, registers, futex, ..StoppedThread::default() }
    }

    fn owner(lock: [u32; 4], stacks: &[&[u64]]) -> Option<(i32, bool)> {
        let mut memory = Snapshot::default();
        memory.add(LOCK, lock.iter().flat_map(|word| word.to_le_bytes()).collect());
        let mut threads = vec![thread(1, 0x9_0000, Some(LOCK))];
        for (at, stack) in stacks.iter().enumerate() {
            let address = 0x10_0000 + at as u64 * 0x1_0000 + 0xff0;
            memory.add(address, stack.iter().flat_map(|word| word.to_le_bytes()).collect());
            threads.push(thread(2 + at as i32, address, None));
        }
        let found = blocked_on(&threads[0], &threads, &memory, &OnceCell::new()).expect("it waits");
        found.owner.map(|owner| (owner, found.guessed))
    }

    #[test]
    fn the_owner_is_read_from_a_pthread_mutex() {
        assert_eq!(owner([2, 0, 3, 1], &[&[0, 0], &[0, 0]]), Some((3, false)));
    }

    #[test]
    fn the_owner_is_guessed_from_the_one_stack_that_knows_the_lock() {
        assert_eq!(owner([2, 0, 0, 0], &[&[0, 0], &[LOCK, 0]]), Some((3, true)));
        assert_eq!(owner([2, 0, 0, 0], &[&[0, 0], &[0, LOCK - 8]]), Some((3, true)));
    }

    #[test]
    fn each_lock_has_an_owner_of_its_own() {
        let mut memory = Snapshot::default();
        let mut threads = Vec::new();
        for number in 0..4i32 {
            let address = 0x10_0000 + number as u64 * 0x1_0000 + 0xff0;
            // Each waits for its own lock, and the next one holds it.
            let (own, held) = (LOCK + number as u64 * 0x100, LOCK + (number as u64 + 3) % 4 * 0x100);
            memory.add(address, [own, held].iter().flat_map(|word| word.to_le_bytes()).collect());
            threads.push(thread(number, address, Some(own)));
        }
        let locks = OnceCell::new();
        let owners = threads.iter().map(|thread| blocked_on(thread, &threads, &memory, &locks)?.owner);
        assert_eq!(owners.collect::<Vec<_>>(), [Some(1), Some(2), Some(3), Some(0)]);
    }

    #[test]
    fn two_candidates_or_none_are_no_answer() {
        assert_eq!(owner([2, 0, 0, 0], &[&[LOCK, 0], &[LOCK, 0]]), None);
        assert_eq!(owner([2, 0, 0, 0], &[&[0, 0], &[0, 0]]), None);
        assert_eq!(owner([2, 0, 77, 0], &[&[0, 0]]), None);
    }
}
