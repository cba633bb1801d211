// Asking the daemon. Every answer that is not 2xx becomes a `Refusal` with the daemon's own words.

import { signal } from '@preact/signals'
import type { ErrorShape, ExpressionShape } from './types'

/** Why the daemon did not do it, or could not be reached. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly kind: string,
    message: string,
    readonly hints: readonly string[] = [],
    readonly expression: ExpressionShape | null = null,
  ) {
    super(message)
  }
}

/** Whether the last request was refused for want of a session: the page then shows the login, and keeps its address. */
export const signedOut = signal(false)

/** How long an answer may take; what is read from a busy process may take a while. */
const LIMIT_MS = 60_000

export async function get<T>(path: string): Promise<T> {
  return (await ask(path, { method: 'GET' })).json() as Promise<T>
}

export async function getText(path: string): Promise<string> {
  return (await ask(path, { method: 'GET' })).text()
}

/** Answers without a body are `undefined`. */
export async function post<T>(path: string, body: object = {}): Promise<T> {
  const answer = await ask(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  const text = await answer.text()
  return (text === '' ? undefined : JSON.parse(text)) as T
}

async function ask(path: string, options: RequestInit): Promise<Response> {
  let answer: Response
  try {
    const accept = { accept: 'application/json' }
    answer = await fetch(path, { ...options, headers: { ...accept, ...options.headers }, signal: AbortSignal.timeout(LIMIT_MS) })
  } catch (error) {
    const slow = error instanceof DOMException && error.name === 'TimeoutError'
    throw slow
      ? new Refusal(0, 'timed_out', 'the daemon did not answer in a minute', ['try again', 'freezeframe show reads the store without it'])
      : new Refusal(0, 'unreachable', 'the daemon cannot be reached', ['is it running?', 'freezeframe show reads the store without it'])
  }
  if (answer.ok) return answer
  const refusal = await refused(answer)
  if (answer.status === 401 && !path.endsWith('/login')) signedOut.value = true
  throw refusal
}

async function refused(answer: Response): Promise<Refusal> {
  try {
    const { error } = (await answer.json()) as { error: ErrorShape }
    return new Refusal(answer.status, error.kind, error.message, error.hints, error.expression ?? null)
  } catch {
    return new Refusal(answer.status, 'failed', `the daemon answered ${answer.status}`)
  }
}
