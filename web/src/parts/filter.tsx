// A box that narrows a list down as one types.

interface Properties {
  label: string
  value: string
  onChange(value: string): void
  /** `12 of 10,000`. */
  shown: string
  children?: preact.ComponentChildren
}

export function Filter({ label, value, onChange, shown, children }: Properties) {
  return (
    <div class="filter" role="search" aria-label={label}>
      <input
        type="search"
        data-filter
        aria-label={label}
        placeholder={`${label}   /`}
        spellcheck={false}
        autocomplete="off"
        value={value}
        onInput={event => onChange(event.currentTarget.value)}
        onKeyDown={event => { if (event.key === 'Escape' && value !== '') { event.preventDefault(); onChange('') } }}
      />
      {children}
      <span class="soft" role="status">{shown}</span>
    </div>
  )
}

/** The test that a filter's text stands for: words that must all be there, or `/a pattern/`. */
export function matcher(filter: string): ((text: string) => boolean) | null {
  const text = filter.trim()
  if (text === '') return null
  const pattern = /^\/(.+)\/?$/.exec(text)
  if (pattern !== null) {
    try {
      const expression = new RegExp(pattern[1]!.replace(/\/$/, ''), 'i')
      return candidate => expression.test(candidate)
    } catch {
      // Half typed: taken as words until it is a pattern.
    }
  }
  const words = text.toLowerCase().split(/\s+/)
  return candidate => {
    const lower = candidate.toLowerCase()
    return words.every(word => lower.includes(word))
  }
}
