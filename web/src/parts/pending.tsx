// What is there of something that is being read: its value, a place that is held for it, or why it did not come.

import type { ComponentChildren } from 'preact'
import type { Refusal } from '../api/client'
import type { Resource } from '../api/resource'

export function Pending<T>({ of, what, children }: { of: Resource<T>; what: string; children: (value: T) => ComponentChildren }) {
  const [value, error] = [of.value.value, of.error.value]
  if (value !== undefined) return <>{children(value)}</>
  if (error !== undefined) return <Refused error={error} what={what} again={() => void of.reload()} />
  return <p class="pending" role="status">Reading {what} …</p>
}

export function Refused({ error, what, again }: { error: Refusal; what: string; again?: () => void }) {
  return (
    <div class="failed" role="alert">
      <p><strong>✖ {what[0]?.toUpperCase()}{what.slice(1)} cannot be read:</strong> {error.message}</p>
      {error.hints.map(hint => <p class="soft" key={hint}>{hint}</p>)}
      {again !== undefined && <button onClick={again}>Try again</button>}
    </div>
  )
}

/** Nothing there, and why that is so. */
export function Nothing({ children }: { children: ComponentChildren }) {
  return <p class="nothing">{children}</p>
}
