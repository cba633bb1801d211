// Something that is read from the daemon and may be read again. What was read stays shown while it is read again, and when that fails.

import { signal, type Signal } from '@preact/signals'
import { Refusal } from './client'

export class Resource<T> {
  readonly value: Signal<T | undefined>
  readonly error: Signal<Refusal | undefined> = signal(undefined)
  readonly loading = signal(false)
  #asked = 0

  constructor(
    private readonly read: () => Promise<T>,
    first?: T,
  ) {
    this.value = signal(first)
  }

  /** Reads it unless that was done or is being done. */
  want(): this {
    if (this.#asked === 0 && this.value.peek() === undefined) void this.reload()
    return this
  }

  /** Reads it again; the newest answer wins, whichever comes last. */
  async reload(): Promise<void> {
    const asked = ++this.#asked
    this.loading.value = true
    try {
      const value = await this.read()
      if (asked !== this.#asked) return
      this.value.value = value
      this.error.value = undefined
    } catch (error) {
      if (asked !== this.#asked) return
      this.error.value = error instanceof Refusal ? error : new Refusal(0, 'failed', String(error))
    } finally {
      if (asked === this.#asked) this.loading.value = false
    }
  }

  /** Reads it again only where somebody looks at it. */
  refresh(): void {
    if (this.#asked > 0 || this.value.peek() !== undefined) void this.reload()
  }
}
