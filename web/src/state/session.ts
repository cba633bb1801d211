// Who is looking, and what they may do.

import { computed, signal } from '@preact/signals'
import { get, post, signedOut } from '../api/client'
import type { SessionAnswer } from '../api/types'
import { forget } from './incident'

/** `undefined` while it is not known. */
export const session = signal<SessionAnswer | undefined>(undefined)

export type Role = 'view' | 'reveal' | 'act' | 'sql'

const roles = computed(() => new Set(session.value?.roles ?? []))

/** Until it is known, everything is offered: the daemon refuses what is not allowed. */
export function may(role: Role): boolean {
  return session.value === undefined || roles.value.has(role)
}

/** What to say to those who may not. */
export function without(role: Role): string | undefined {
  return may(role) ? undefined : `needs the role “${role}”: freezeframe user add NAME --roles …,${role}`
}

export async function readSession(): Promise<void> {
  try {
    session.value = await get<SessionAnswer>('/api/v1/session')
    if (signedOut.peek()) {
      forget()
      signedOut.value = false
    }
  } catch {
    // A refusal for want of a session shows the login; anything else the page itself will meet, too.
  }
}

export async function logIn(body: { user: string; password: string } | { token: string } | { once: string }): Promise<void> {
  await post('/api/v1/login', body)
  await readSession()
}

export async function logOut(): Promise<void> {
  await post('/api/v1/logout')
  session.value = undefined
  signedOut.value = true
}
