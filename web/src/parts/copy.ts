// The clipboard.

import { complain, say } from '../state/toasts'

export async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text)
    say(`${what} is in the clipboard.`)
  } catch {
    // Without TLS on another host, or without permission, there is no clipboard.
    complain(new Error(`${what} could not be put into the clipboard: the browser does not allow it here`))
  }
}
