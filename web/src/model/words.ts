// How times, durations and places are put into words: the same words as in the terminal and in JSON.

/** Milliseconds as people say them: `850 µs`, `4.2 ms`, `126 ms`, `4.2 s`, `17 min`, `3 h 47 min`, `2 d 4 h`. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms) || ms < 0) return '0 ms'
  const us = Math.floor(ms * 1000 + 1e-6)
  if (us === 0) return '0 ms'
  if (us < 1_000) return `${us} µs`
  if (us < 10_000) return `${tenths(us / 1000)} ms`
  if (us < 1_000_000) return `${Math.floor(us / 1000)} ms`
  const seconds = us / 1e6
  if (seconds < 60) return `${tenths(seconds)} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  const hours = Math.floor(seconds / 3600)
  if (hours < 24) return `${hours} h ${Math.floor((seconds % 3600) / 60)} min`
  return `${Math.floor(hours / 24)} d ${hours % 24} h`
}

/** Cut off, not rounded, and without a zero behind the point. */
function tenths(value: number): string {
  const cut = Math.floor(value * 10 + 1e-6) / 10
  return Number.isInteger(cut) ? String(cut) : cut.toFixed(1)
}

/** `3:47:12`, for what counts down. */
export function countdown(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000))
  const two = (n: number) => String(n).padStart(2, '0')
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor((seconds % 86400) / 3600), Math.floor((seconds % 3600) / 60)]
  const clock = `${hours}:${two(minutes)}:${two(seconds % 60)}`
  return days > 0 ? `${days} d ${clock}` : clock
}

/** `03:11:58` of an RFC 3339 time in UTC. */
export function clock(at: string): string {
  return at.slice(11, 19)
}

/** `03:11:58.042`. */
export function preciseClock(at: string): string {
  return at.slice(11, 23).replace('Z', '')
}

/** `2026-11-21 03:11:58 UTC`. */
export function utc(at: string): string {
  return at === '' ? '' : `${at.slice(0, 10)} ${clock(at)} UTC`
}

/** The same moment where the reader is: `04:11:58`. */
export function local(at: string): string {
  const date = new Date(at)
  if (Number.isNaN(date.getTime())) return ''
  return date.toLocaleTimeString(undefined, { hour12: false })
}

/** `4.0 s ago`. */
export function ago(at: string, now: number): string {
  const then = Date.parse(at)
  if (Number.isNaN(then)) return ''
  const ms = now - then
  return ms < 1000 ? 'just now' : `${duration(ms)} ago`
}

/** Since the trap: `+4.4 ms`, `−1.2 s`. */
export function offset(ms: number): string {
  return ms < 0 ? `−${duration(-ms)}` : `+${duration(ms)}`
}

/** `512 B`, `3.3 MiB`, cut off rather than rounded. */
export function bytes(count: number): string {
  if (count < 1024) return `${Math.max(0, Math.floor(count))} B`
  let value = count / 1024
  for (const unit of ['KiB', 'MiB', 'GiB', 'TiB']) {
    if (value < 1024) return `${(Math.floor(value * 10) / 10).toFixed(1)} ${unit}`
    value /= 1024
  }
  return `${value.toFixed(1)} PiB`
}

/** `812`, `4.1k`, `12M`. */
export function amount(count: number): string {
  if (!Number.isFinite(count)) return '–'
  if (count < 10 && !Number.isInteger(count)) return tenths(count)
  if (count < 1000) return String(Math.round(count))
  if (count < 1e6) return `${tenths(count / 1e3)}k`
  return `${tenths(count / 1e6)}M`
}

/** `1 request`, `3 requests`. */
export function counted(count: number, singular: string): string {
  return count === 1 ? `1 ${singular}` : `${count.toLocaleString('en')} ${singular}s`
}

/** `src/pricing.rs:118`; empty where the file is unknown. */
export function place(file: string, line: number): string {
  if (file === '') return ''
  return line === 0 ? file : `${file}:${line}`
}

/** `pricing.rs:118`, for narrow places; the whole path belongs beside it somewhere. */
export function shortPlace(file: string, line: number): string {
  return place(file.slice(file.lastIndexOf('/') + 1), line)
}

/** Control characters, and those that reorder text so that it reads as something else (Unicode TR 36), made visible. */
export function plain(text: string): string {
  return text.replace(DECEPTIVE, c => (c === '\t' ? '\t' : c === '\n' ? '\n' : `\\u{${c.codePointAt(0)!.toString(16)}}`))
}

const DECEPTIVE = /[\u0000-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/g
