// What the page remembers in this browser: preferences, nothing of an incident.

export function remember(name: string, value: string): void {
  try {
    localStorage.setItem(`freezeframe.${name}`, value)
  } catch {
    // Storage may be switched off; then the page forgets.
  }
}

export function recall(name: string): string | null {
  try {
    return localStorage.getItem(`freezeframe.${name}`)
  } catch {
    return null
  }
}
