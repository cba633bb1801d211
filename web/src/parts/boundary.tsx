// One failed part never blanks the page: what went wrong stays inside of its own frame.

import { Component, type ComponentChildren } from 'preact'

interface Properties {
  /** `the timeline`. */
  what: string
  children: ComponentChildren
}

export class Boundary extends Component<Properties, { error: unknown }> {
  override state = { error: undefined as unknown }

  static override getDerivedStateFromError(error: unknown) {
    return { error }
  }

  override render() {
    const { error } = this.state
    if (error === undefined) return this.props.children
    return (
      <div class="failed" role="alert">
        <p><strong>✖ {this.props.what} cannot be shown.</strong> The rest of the page is not affected.</p>
        <p class="soft mono">{error instanceof Error ? error.message : String(error)}</p>
        <button onClick={() => this.setState({ error: undefined })}>Try again</button>
      </div>
    )
  }
}
