// What was just done, or could not be, for a few seconds.

import { signal } from '@preact/signals'
import { Refusal } from '../api/client'

export interface Toast {
  id: number
  text: string
  hints: readonly string[]
  bad: boolean
}

export const toasts = signal<readonly Toast[]>([])
let last = 0

export function say(text: string): void {
  add({ text, hints: [], bad: false }, 6_000)
}

export function complain(error: unknown): void {
  const refusal = error instanceof Refusal ? error : new Refusal(0, 'failed', String(error))
  add({ text: refusal.message, hints: refusal.hints, bad: true }, 15_000)
}

export function dismiss(id: number): void {
  toasts.value = toasts.value.filter(toast => toast.id !== id)
}

function add(toast: Omit<Toast, 'id'>, ms: number): void {
  const id = ++last
  toasts.value = [...toasts.value.slice(-3), { ...toast, id }]
  setTimeout(() => dismiss(id), ms)
}
