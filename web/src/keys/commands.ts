// What can be done from here: one list for keys, palette and help, so that they cannot disagree.

import { computed, signal, type ReadonlySignal } from '@preact/signals'
import { recall, remember } from '../state/memory'

export interface Command {
  /** In the words of the button, where there is one. */
  title: string
  /** `a`, `Shift+Y`, `g f`; what ends a hold has none. */
  key?: string
  group: 'Go to' | 'Incident' | 'Frames' | 'Sections' | 'Page'
  /** Why it cannot be done now. */
  disabled?: string | undefined
  run(): void
}

type Provider = () => readonly Command[]
const providers = signal<readonly Provider[]>([])

/** All commands of what is on the screen. */
export const commands: ReadonlySignal<readonly Command[]> = computed(() => providers.value.flatMap(provider => provider()))

/** Offers commands until the returned function is called. */
export function offer(provider: Provider): () => void {
  providers.value = [...providers.peek(), provider]
  return () => (providers.value = providers.peek().filter(other => other !== provider))
}

/** Single keys can be switched off (WCAG 2.1.4); Ctrl-K stays. */
export const singleKeys = signal(recall('keys') !== 'off')

export function setSingleKeys(on: boolean): void {
  singleKeys.value = on
  remember('keys', on ? 'on' : 'off')
}
