//! Accounts of people and tokens of scripts. Passwords and tokens themselves are stored nowhere, only their hashes.

use freezeframe_model::{Account, Roles, ScriptToken, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{Store, StoreError};

/// Accounts, and tokens, that there may be.
const MAX: i64 = 1000;

impl Store {
    /// All accounts, by name.
    pub fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        let sql = "SELECT name, roles, password, created_at, changed_at FROM accounts ORDER BY name";
        let read = |row: &Row<'_>| {
            Ok(Account {
                name: row.get(0)?,
                roles: roles(row, 1)?,
                password: row.get(2)?,
                created_at: Timestamp(row.get(3)?),
                changed_at: Timestamp(row.get(4)?),
            })
        };
        self.rows(sql, read).map_err(StoreError::database("read the accounts"))
    }

    /// Adds an account, or replaces what is there under its name.
    ///
    /// # Errors
    /// [`StoreError::TooMany`] where there are a thousand already.
    pub fn put_account(&self, account: &Account) -> Result<(), StoreError> {
        let Account { name, roles, password, created_at, changed_at } = account;
        let sql =
            "INSERT INTO accounts (name, roles, password, created_at, changed_at) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT (name) DO UPDATE SET roles = ?2, password = ?3, changed_at = ?5";
        self.put("accounts", "account", name, |db| {
            let values = params![name, roles.to_string(), password, created_at.0, changed_at.0];
            db.prepare_cached(sql)?.execute(values)
        })
    }

    /// Removes an account; whether there was one.
    pub fn remove_account(&self, name: &str) -> Result<bool, StoreError> {
        self.remove("DELETE FROM accounts WHERE name = ?1", name)
    }

    /// All tokens of scripts, by name, those that have expired too.
    pub fn script_tokens(&self) -> Result<Vec<ScriptToken>, StoreError> {
        let sql = "SELECT name, roles, hash, created_at, expires_at FROM script_tokens ORDER BY name";
        let read = |row: &Row<'_>| {
            Ok(ScriptToken {
                name: row.get(0)?,
                roles: roles(row, 1)?,
                hash: row.get(2)?,
                created_at: Timestamp(row.get(3)?),
                expires_at: row.get::<_, Option<i64>>(4)?.map(Timestamp),
            })
        };
        self.rows(sql, read).map_err(StoreError::database("read the tokens"))
    }

    /// Adds a token, or replaces the one of its name.
    ///
    /// # Errors
    /// [`StoreError::TooMany`] where there are a thousand already.
    pub fn put_script_token(&self, token: &ScriptToken) -> Result<(), StoreError> {
        let ScriptToken { name, roles, hash, created_at, expires_at } = token;
        let sql = "INSERT OR REPLACE INTO script_tokens (name, roles, hash, created_at, expires_at)
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        self.put("script_tokens", "token", name, |db| {
            let values = params![name, roles.to_string(), hash, created_at.0, expires_at.map(|end| end.0)];
            db.prepare_cached(sql)?.execute(values)
        })
    }

    /// Removes a token; whether there was one.
    pub fn remove_script_token(&self, name: &str) -> Result<bool, StoreError> {
        self.remove("DELETE FROM script_tokens WHERE name = ?1", name)
    }

    fn rows<T>(
        &self,
        sql: &str,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.lock().db.prepare_cached(sql)?.query_map([], read)?.collect()
    }

    fn put(
        &self,
        table: &str,
        what: &'static str,
        name: &str,
        write: impl Fn(&Connection) -> rusqlite::Result<usize>,
    ) -> Result<(), StoreError> {
        let mut state = self.writable()?;
        let others = format!("SELECT count(*) FROM {table} WHERE name <> ?1");
        let others = state.db.query_row(&others, [name], |row| row.get::<_, i64>(0)).optional();
        if others.map_err(StoreError::database("count what is there"))?.unwrap_or(0) >= MAX {
            return Err(StoreError::TooMany { what, max: MAX });
        }
        self.with_room(&mut state, what, |db| write(db).map(drop))
    }

    fn remove(&self, sql: &str, name: &str) -> Result<bool, StoreError> {
        let mut state = self.writable()?;
        self.with_room(&mut state, "a removal", |db| db.prepare_cached(sql)?.execute([name]))
            .map(|gone| gone > 0)
    }
}

/// A role that a newer version knows gives nothing here.
fn roles(row: &Row<'_>, at: usize) -> rusqlite::Result<Roles> {
    let text: String = row.get(at)?;
    Ok(text.split(',').filter_map(|name| name.parse().ok()).collect())
}

/// The tables; a step of the migrations.
pub(crate) const TABLES: &str = "
    CREATE TABLE accounts (
        name TEXT PRIMARY KEY,
        roles TEXT NOT NULL,
        password TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        changed_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE script_tokens (
        name TEXT PRIMARY KEY,
        roles TEXT NOT NULL,
        hash BLOB NOT NULL UNIQUE,
        created_at INTEGER NOT NULL,
        expires_at INTEGER
    ) STRICT;
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Quota;

    fn account(name: &str, roles: &str) -> Account {
        Account {
            name: name.to_owned(),
            roles: roles.parse().unwrap(),
            password: "$argon2id$".to_owned(),
            created_at: Timestamp(1),
            changed_at: Timestamp(2),
        }
    }

    fn token(name: &str, hash: u8) -> ScriptToken {
        ScriptToken {
            name: name.to_owned(),
            roles: "view".parse().unwrap(),
            hash: [hash; 32],
            created_at: Timestamp(1),
            expires_at: Some(Timestamp(5)),
        }
    }

    #[test]
    fn accounts_and_tokens_survive_and_are_replaced_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Quota::default()).unwrap();
        store.put_account(&account("bob", "view")).unwrap();
        store.put_account(&account("alice", "view,act")).unwrap();
        let changed = Account { created_at: Timestamp(9), ..account("bob", "sql") };
        store.put_account(&changed).unwrap();
        store.put_script_token(&token("ci", 1)).unwrap();
        store.put_script_token(&token("ci", 2)).unwrap();
        drop(store);

        let reader = Store::open_read_only(dir.path()).unwrap();
        let bob = Account { created_at: Timestamp(1), ..changed };
        assert_eq!(reader.accounts().unwrap(), [account("alice", "view,act"), bob]);
        assert_eq!(reader.script_tokens().unwrap(), [token("ci", 2)]);
        assert!(matches!(reader.put_account(&account("eve", "act")), Err(StoreError::ReadOnly)));
        drop(reader);

        let store = Store::open(dir.path(), Quota::default()).unwrap();
        assert!(store.remove_account("bob").unwrap() && !store.remove_account("bob").unwrap());
        assert!(store.remove_script_token("ci").unwrap() && !store.remove_script_token("ci").unwrap());
    }

    #[test]
    fn their_number_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Quota::default()).unwrap();
        {
            let state = store.writable().unwrap();
            let fill = format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MAX})
                 INSERT INTO accounts SELECT 'user' || i, 'view', '', 0, 0 FROM n"
            );
            state.db.execute_batch(&fill).unwrap();
        }
        assert!(matches!(
            store.put_account(&account("more", "")),
            Err(StoreError::TooMany { what: "account", .. })
        ));
        store.put_account(&account("user7", "act")).unwrap();
    }
}
