// What is there of something that is being read: its value, a place that is held for it, or why it did not come.

import type { ComponentChildren } from 'preact'
import type { Refusal } from '../api/client'
import type { Resource } from '../api/resource'

export function Pending<T>({ of, what, heading = false, children }: { of: Resource<T>; what: string; heading?: boolean; children: (value: T) => ComponentChildren }) {
  const [value, error] = [of.value.value, of.error.value]
  if (value !== undefined) return <>{children(value)}</>
  if (error !== undefined) return <Refused error={error} what={what} heading={heading} again={() => void of.reload()} />
  return <p class="pending" role="status">Reading {what} …</p>
}

function Refused({ error, what, heading, again }: { error: Refusal; what: string; heading: boolean; again: () => void }) {
  return (
    <div class="failed" role="alert">
      {heading && <h1>{what}</h1>}
      <p><strong>✖ {what[0]?.toUpperCase()}{what.slice(1)} cannot be read:</strong> {error.message}</p>
      {error.hints.map(hint => <p class="soft" key={hint}>{hint}</p>)}
      <button onClick={again}>Try again</button>
    </div>
  )
}

/** Nothing there, and why that is so. */
export function Nothing({ children }: { children: ComponentChildren }) {
  return <p class="nothing">{children}</p>
}
