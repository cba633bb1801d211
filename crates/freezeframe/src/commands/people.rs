//! `user` and `token`: who may sign in, and which scripts may call. The daemon of the data directory does it where one runs;
//! otherwise it is done in the store, which is then nobody else's.

use freezeframe_api::dto::{
    ChangeAnswer, PasswordBody, RolesBody, TokenAnswer, TokenBody, TokenList, UserBody, UserList,
};
use freezeframe_api::{AccountError, Accounts};
use freezeframe_model::{Role, Roles, Timestamp, is_name};
use freezeframe_store::{Quota, Store};

use super::DataDirectory;
use super::secret;
use crate::client::Client;
use crate::error::{CommandError, Kind};
use crate::register::Kept;
use crate::render;

#[derive(clap::Args)]
pub(crate) struct UserArguments {
    #[command(flatten)]
    data: DataDirectory,
    #[command(subcommand)]
    what: UserCommand,
}

#[derive(clap::Subcommand)]
enum UserCommand {
    /// Let somebody sign in. The password is asked for on the terminal, or is the first line of standard input.
    Add(UserRoles),
    /// List who may sign in.
    List(ListArguments),
    /// Let somebody in no longer; their sessions end.
    Remove(Named),
    /// Give somebody another password; their sessions end.
    Password(Named),
    /// Give somebody these roles in place of theirs; their sessions end.
    Roles(UserRoles),
}

#[derive(clap::Args)]
struct UserRoles {
    /// Name, for example alice or alice@example.org.
    #[arg(value_parser = name)]
    name: String,
    /// What they may do: view, reveal (look behind redactions), act (release, kill, …), sql.
    #[arg(long, value_name = "ROLE,…", value_parser = roles)]
    roles: Roles,
}

#[derive(clap::Args)]
struct Named {
    /// Name.
    #[arg(value_parser = name)]
    name: String,
}

#[derive(clap::Args)]
struct ListArguments {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct TokenArguments {
    #[command(flatten)]
    data: DataDirectory,
    #[command(subcommand)]
    what: Option<TokenCommand>,
}

#[derive(clap::Subcommand)]
enum TokenCommand {
    /// Make a token for a script. It is printed once and cannot be had again.
    Add(TokenAdd),
    /// List the tokens of scripts.
    List(ListArguments),
    /// Refuse a token from now on.
    Remove(Named),
}

#[derive(clap::Args)]
struct TokenAdd {
    /// What it is for, for example ci.
    #[arg(value_parser = name)]
    name: String,
    /// What it may be used for: view, reveal (look behind redactions), act (release, kill, …), sql.
    #[arg(long, value_name = "ROLE,…", value_parser = roles)]
    roles: Roles,
    /// When it ends, for example 720h [default: never].
    #[arg(long, value_name = "TIME", value_parser = crate::config::parse_duration_ms)]
    expires_in: Option<u64>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

fn name(text: &str) -> Result<String, String> {
    let wanted = "1 to 64 letters, digits and `.`, `_`, `-`, `@` are a name";
    if is_name(text) { Ok(text.to_owned()) } else { Err(wanted.to_owned()) }
}

fn roles(text: &str) -> Result<Roles, String> {
    let roles: Roles = text.parse().map_err(|error: freezeframe_model::ParseRoleError| error.to_string())?;
    if roles.is_empty() { Err("at least one role is needed".to_owned()) } else { Ok(roles) }
}

fn names(roles: Roles) -> Vec<String> {
    roles.iter().map(Role::as_str).map(str::to_owned).collect()
}

pub(crate) fn user(arguments: &UserArguments) -> Result<i32, CommandError> {
    let is_change = !matches!(arguments.what, UserCommand::List(_));
    let people = People::of(&arguments.data, is_change)?;
    let changed = match &arguments.what {
        UserCommand::Add(UserRoles { name, roles }) => people.add(name, secret::read_new(name)?, *roles),
        UserCommand::Remove(Named { name }) => people.remove(name),
        UserCommand::Password(Named { name }) => people.set_password(name, secret::read_new(name)?),
        UserCommand::Roles(UserRoles { name, roles }) => people.set_roles(name, *roles),
        UserCommand::List(ListArguments { json }) => {
            let list = people.users()?;
            let page = || render::users(&list, super::style());
            return if *json { super::print_json(&list) } else { super::print(&page()) };
        }
    };
    super::print(&changed?)
}

pub(crate) fn token(arguments: &TokenArguments) -> Result<i32, CommandError> {
    let Some(what) = &arguments.what else {
        return super::print(&crate::token::read(&arguments.data.data_dir)?);
    };
    let people = People::of(&arguments.data, !matches!(what, TokenCommand::List(_)))?;
    match what {
        TokenCommand::Add(TokenAdd { name, roles, expires_in, json }) => {
            let answer = people.add_token(name, *roles, *expires_in)?;
            if *json {
                return super::print_json(&answer);
            }
            super::say("This is the only time that it is shown:");
            super::print(&answer.token)
        }
        TokenCommand::List(ListArguments { json }) => {
            let list = people.tokens()?;
            let page = || render::tokens(&list, super::style());
            if *json { super::print_json(&list) } else { super::print(&page()) }
        }
        TokenCommand::Remove(Named { name }) => super::print(&people.remove_token(name)?),
    }
}

/// Whoever keeps the accounts at the moment.
enum People {
    Daemon(Client),
    Store { accounts: Accounts, who: String },
}

impl People {
    fn of(data: &DataDirectory, is_change: bool) -> Result<Self, CommandError> {
        let client = Client::new(&data.data_dir);
        if client.is_answered() {
            return Ok(Self::Daemon(client));
        }
        if is_change && !data.data_dir.exists() {
            super::say(&format!("{} is a new data directory", data.data_dir.display()));
        }
        let store = if is_change { Store::open(&data.data_dir, Quota::default())? } else { data.store()? };
        let accounts = Accounts::load(Box::new(Kept(store)))
            .map_err(|error| CommandError::caused(Kind::Failed, &error))?;
        Ok(Self::Store { accounts, who: who_we_are() })
    }

    fn add(&self, name: &str, password: String, roles: Roles) -> Result<String, CommandError> {
        match self {
            Self::Daemon(client) => {
                let body = UserBody { name: name.to_owned(), password, roles: names(roles) };
                sentence(client.post("/api/v1/users", &body)?)
            }
            Self::Store { accounts, who } => {
                accounts.add(who, name, &password, roles).map_err(|error| refused(&error))
            }
        }
    }

    fn set_password(&self, name: &str, password: String) -> Result<String, CommandError> {
        match self {
            Self::Daemon(client) => {
                sentence(client.post(&format!("/api/v1/users/{name}/password"), &PasswordBody { password })?)
            }
            Self::Store { accounts, who } => {
                accounts.set_password(who, name, &password).map_err(|error| refused(&error))
            }
        }
    }

    fn set_roles(&self, name: &str, roles: Roles) -> Result<String, CommandError> {
        match self {
            Self::Daemon(client) => {
                let body = RolesBody { roles: names(roles) };
                sentence(client.post(&format!("/api/v1/users/{name}/roles"), &body)?)
            }
            Self::Store { accounts, who } => {
                accounts.set_roles(who, name, roles).map_err(|error| refused(&error))
            }
        }
    }

    fn remove(&self, name: &str) -> Result<String, CommandError> {
        match self {
            Self::Daemon(client) => sentence(client.delete(&format!("/api/v1/users/{name}"))?),
            Self::Store { accounts, who } => accounts.remove(who, name).map_err(|error| refused(&error)),
        }
    }

    fn users(&self) -> Result<UserList, CommandError> {
        match self {
            Self::Daemon(client) => client.get("/api/v1/users"),
            Self::Store { accounts, .. } => Ok(UserList::from(accounts.known_accounts().as_slice())),
        }
    }

    fn add_token(
        &self,
        name: &str,
        roles: Roles,
        expires_in_ms: Option<u64>,
    ) -> Result<TokenAnswer, CommandError> {
        match self {
            Self::Daemon(client) => {
                let body = TokenBody { name: name.to_owned(), roles: names(roles), expires_in_ms };
                client.post("/api/v1/tokens", &body)
            }
            Self::Store { accounts, who } => {
                let made = accounts.add_token(who, name, roles, expires_in_ms);
                made.map(|(secret, token)| TokenAnswer::new(secret, &token)).map_err(|error| refused(&error))
            }
        }
    }

    fn remove_token(&self, name: &str) -> Result<String, CommandError> {
        match self {
            Self::Daemon(client) => sentence(client.delete(&format!("/api/v1/tokens/{name}"))?),
            Self::Store { accounts, who } => {
                accounts.remove_token(who, name).map_err(|error| refused(&error))
            }
        }
    }

    fn tokens(&self) -> Result<TokenList, CommandError> {
        match self {
            Self::Daemon(client) => client.get("/api/v1/tokens"),
            Self::Store { accounts, .. } => Ok(TokenList::new(&accounts.known_tokens(), Timestamp::now())),
        }
    }
}

fn sentence(answer: ChangeAnswer) -> Result<String, CommandError> {
    Ok(answer.message)
}

fn refused(error: &AccountError) -> CommandError {
    let kind = match error {
        AccountError::Invalid(_) => Kind::Usage,
        AccountError::NotFound(_) => Kind::NotFound,
        AccountError::Exists(_) | AccountError::Register(_) => Kind::Failed,
    };
    CommandError::caused(kind, error)
}

/// As the daemon would call us, for the audit log.
fn who_we_are() -> String {
    use std::os::unix::fs::MetadataExt;
    let uid = std::fs::metadata("/proc/self").map(|own| own.uid());
    uid.map_or_else(|_| "local".to_owned(), |uid| format!("uid {uid}"))
}
