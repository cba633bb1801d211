// Signing in. It comes in place of whatever was asked for and keeps its address, so that an alert's link leads where it says.

import { useEffect, useRef, useState } from 'preact/hooks'
import { Refusal } from '../api/client'
import { go, parse, route } from '../model/route'
import { logIn } from '../state/session'

export function LoginPage() {
  const [way, setWay] = useState<'user' | 'token'>('user')
  const [busy, setBusy] = useState(false)
  const [refusal, setRefusal] = useState<Refusal | null>(null)
  const first = useRef<HTMLInputElement>(null)
  useEffect(() => {
    document.title = 'Sign in · Freezeframe'
    const once = /^#once=([\w-]{16,200})$/.exec(location.hash)?.[1]
    if (once !== undefined) {
      // It works once: it must not stay in the history.
      history.replaceState(null, '', location.pathname + location.search)
      void attempt({ once })
    }
  }, [])
  useEffect(() => first.current?.focus(), [way])

  async function attempt(body: Parameters<typeof logIn>[0]): Promise<void> {
    setBusy(true)
    setRefusal(null)
    try {
      await logIn(body)
      if (route.value.view === 'login') {
        const [path, query] = route.value.next.split('?')
        go(parse(path ?? '/', query ?? ''), { replace: true })
      }
    } catch (error) {
      setRefusal(error instanceof Refusal ? error : new Refusal(0, 'failed', String(error)))
    } finally {
      setBusy(false)
    }
  }

  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    const fields = new FormData(event.currentTarget as HTMLFormElement)
    const text = (name: string) => String(fields.get(name) ?? '')
    void attempt(way === 'user' ? { user: text('user').trim(), password: text('password') } : { token: text('token').trim() })
  }
  const wanted = route.value.view === 'incident' ? route.value.id : null
  return (
    <main class="login" id="content">
      <form onSubmit={submit}>
        <h1>Sign in{wanted === null ? '' : ` to see ${wanted}`}</h1>
        <p class="soft">The link told which incident; who you are, you say here.</p>
        <div class="ways" role="group" aria-label="How to sign in">
          <button type="button" aria-pressed={way === 'user'} onClick={() => setWay('user')}>Account</button>
          <button type="button" aria-pressed={way === 'token'} onClick={() => setWay('token')}>Token</button>
        </div>
        {way === 'user'
          ? (
            <>
              <label>User<input ref={first} name="user" required autocomplete="username" autocapitalize="none" spellcheck={false} maxLength={100} /></label>
              <label>Password<input name="password" type="password" required autocomplete="current-password" maxLength={1000} /></label>
              <p class="soft">No account? <code>freezeframe user add NAME</code> on the host makes one.</p>
            </>
          )
          : (
            <>
              <label>Token<input ref={first} name="token" type="password" required autocomplete="off" spellcheck={false} maxLength={500} /></label>
              <p class="soft">It is in the file <code>token</code> of the data directory; <code>freezeframe demo</code> prints it.</p>
            </>
          )}
        {refusal !== null && (
          <p class="bad" role="alert">✖ {refusal.message}{refusal.hints.length > 0 && <span class="soft"> {refusal.hints.join(' ')}</span>}</p>
        )}
        <button class="primary" disabled={busy}>{busy ? 'Signing in …' : 'Sign in'}</button>
      </form>
    </main>
  )
}
