// From key presses to commands.

import { commands, singleKeys } from './commands'
import { current } from './rows'

/** How long the first key of two waits for the second. */
const SEQUENCE_MS = 1_200

let pending = ''
let pendingUntil = 0

/** `Shift+Y`, `[`, `Ctrl+k`. Shift is named only with letters: other keys say it by what they write. */
export function nameOf(event: KeyboardEvent): string {
  const shift = event.shiftKey && /^[A-Z]$/.test(event.key) ? 'Shift+' : ''
  const control = event.ctrlKey || event.metaKey ? 'Ctrl+' : ''
  return control + shift + (control === '' ? event.key : event.key.toLowerCase())
}

/** Where text is typed, keys are text. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false
  return target.isContentEditable || ['TEXTAREA', 'SELECT'].includes(target.tagName) ||
    (target instanceof HTMLInputElement && !['checkbox', 'radio', 'button', 'submit'].includes(target.type))
}

export function listenToKeys(): void {
  addEventListener('keydown', event => {
    if (event.defaultPrevented || event.altKey || event.isComposing) return
    const name = nameOf(event)
    if (name === 'Escape' && isTyping(event.target)) {
      (event.target as HTMLElement).blur()
      return
    }
    const always = name === 'Ctrl+k'
    const modal = document.querySelector('dialog:modal') !== null
    if (!always && (!singleKeys.value || isTyping(event.target) || modal)) return
    const keys = event.timeStamp < pendingUntil ? `${pending} ${name}` : name
    pending = ''
    pendingUntil = 0
    const found = commands.value.find(command => command.key === keys)
    if (found !== undefined) {
      event.preventDefault()
      if (found.disabled === undefined) found.run()
      return
    }
    if (commands.value.some(command => command.key?.startsWith(`${keys} `) === true)) {
      pending = keys
      pendingUntil = event.timeStamp + SEQUENCE_MS
      return
    }
    if (current()?.key(name) === true) event.preventDefault()
  })
}
