// The time, as the daemon tells it: leases end by its clock, not by that of a laptop.

import { signal } from '@preact/signals'

/** Milliseconds since 1970, once a second. */
export const now = signal(Date.now())

let ahead = 0

/** Takes over the daemon's clock. */
export function setClock(daemon: string): void {
  const at = Date.parse(daemon)
  if (Number.isNaN(at)) return
  // What an answer took on its way is not worth a jump.
  const difference = at - Date.now()
  ahead = Math.abs(difference) < 1500 ? 0 : difference
  now.value = Date.now() + ahead
}

setInterval(() => { if (!document.hidden) now.value = Date.now() + ahead }, 1000)
document.addEventListener('visibilitychange', () => { now.value = Date.now() + ahead })
