//! The options of a URL as the driver's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mongodb::event::EventHandler;
use mongodb::options::{
    Acknowledgment, ClientOptions, Credential, ReadConcern, ReadConcernLevel, ReadPreference, ReadPreferenceOptions,
    SelectionCriteria, ServerAddress, Tls, TlsOptions, WriteConcern,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::client::Figures;
use super::error::translate;
use crate::config::{Config, Endpoint, Server};
use crate::error::{Error, Result};

/// The options of the driver that are those of the url.
pub(super) async fn options(config: &Config, server: &Server, figures: &Arc<Figures>) -> Result<ClientOptions> {
    let parameters = &config.parameters;
    refuse_unserved(config)?;
    let mut options = if server.srv { resolved(config, server).await? } else { ClientOptions::default() };
    if !server.srv {
        options.hosts = server.endpoints.iter().map(address).collect();
    }
    options.app_name = Some(parameters.text("application_name").unwrap_or("farm-db").to_owned());
    options.default_database.clone_from(&server.database);
    options.connect_timeout = Some(config.pool.connect_timeout);
    // Not longer than a statement may take, so that one for which no server was found is known not to have been sent.
    let selection = config.statement_timeout.unwrap_or(config.pool.acquire_timeout).min(config.pool.acquire_timeout);
    options.server_selection_timeout = Some(parameters.span("server_selection_timeout").unwrap_or(selection));
    options.max_pool_size = u32::try_from(config.pool.max_size).ok();
    options.min_pool_size = u32::try_from(config.pool.min_size).ok();
    options.max_idle_time = config.pool.idle_timeout;
    options.heartbeat_freq = parameters.span("heartbeat_frequency").or(options.heartbeat_freq);
    options.local_threshold = parameters.span("local_threshold");
    options.max_connecting = parameters.count("max_connecting").and_then(|count| u32::try_from(count).ok());
    options.repl_set_name = parameters.text("replica_set").map(str::to_owned).or(options.repl_set_name);
    options.direct_connection = parameters.truth("direct_connection");
    options.load_balanced = parameters.truth("load_balanced").or(options.load_balanced);
    options.retry_reads = parameters.truth("retry_reads");
    options.retry_writes = parameters.truth("retry_writes");
    options.credential = credential(config, server, options.credential.take())?;
    options.tls = tls(config, server.srv);
    options.read_concern = parameters.text("read_concern_level").map(|level| ReadConcern::from(level_of(level)));
    options.write_concern = write_concern(config);
    // What prefers another member says so: transactions cannot, and what is read for a write must not.
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    let figures = Arc::clone(figures);
    options.cmap_event_handler = Some(EventHandler::callback(move |event| figures.note(&event)));
    Ok(options)
}

fn address(endpoint: &Endpoint) -> ServerAddress {
    match endpoint {
        Endpoint::Tcp { host, port } => ServerAddress::Tcp { host: host.clone(), port: Some(*port) },
        Endpoint::Socket { path, .. } => ServerAddress::Unix { path: path.into() },
    }
}

/// What the SRV and TXT records of the url's name say; only the driver reads them.
async fn resolved(config: &Config, server: &Server) -> Result<ClientOptions> {
    let parameters = &config.parameters;
    let Some(Endpoint::Tcp { host, .. }) = server.endpoints.first() else {
        return Err(Error::internal("an srv url without a host"));
    };
    let limit = parameters.count("srv_max_hosts").map(|count| format!("srvMaxHosts={count}"));
    let service = parameters.text("srv_service_name").map(|name| format!("srvServiceName={name}"));
    let told: Vec<String> = limit.into_iter().chain(service).collect();
    let database = utf8_percent_encode(server.database.as_deref().unwrap_or_default(), NON_ALPHANUMERIC);
    // A user, so that the driver says where the records look for users; the true one is set later.
    let url = format!("mongodb+srv://user@{host}/{database}?{}", told.join("&"));
    ClientOptions::parse(url).await.map_err(|error| translate(&error, None).with("url", config.url.redacted()))
}

/// Who logs in; `found` is what the records of an SRV url say.
fn credential(config: &Config, server: &Server, found: Option<Credential>) -> Result<Option<Credential>> {
    let parameters = &config.parameters;
    let mechanism = parameters.text("auth_mechanism");
    if server.user.is_none() && mechanism.is_none() {
        return Ok(None);
    }
    let mut credential = Credential::default();
    credential.username.clone_from(&server.user);
    credential.password = server.password.as_ref().map(|password| password.expose().to_owned());
    // Users live in `admin` unless the url says otherwise, or names the database that they are for.
    credential.source = parameters.text("auth_source").map(str::to_owned).or_else(|| {
        // The other mechanisms have users in places of their own.
        let is_password = mechanism.is_none_or(|name| name.to_ascii_uppercase().starts_with("SCRAM"));
        let source = found.and_then(|found| found.source).or_else(|| server.database.clone());
        source.filter(|_| is_password)
    });
    if let Some(name) = mechanism {
        let mechanism = name.parse().map_err(|error| translate(&error, None).with("option", "auth_mechanism"))?;
        credential.mechanism = Some(mechanism);
    }
    Ok(Some(credential))
}

fn tls(config: &Config, srv: bool) -> Option<Tls> {
    let parameters = &config.parameters;
    // As the specification of SRV urls has it, they are encrypted unless the url says otherwise.
    if !parameters.truth("tls").unwrap_or(srv) {
        return None;
    }
    let mut options = TlsOptions::default();
    options.ca_file_path = parameters.text("tls_ca_file").map(Into::into);
    options.cert_key_file_path = parameters.text("tls_certificate_key_file").map(Into::into);
    let insecure = parameters.truth("tls_insecure");
    options.allow_invalid_certificates = parameters.truth("tls_allow_invalid_certificates").or(insecure);
    Some(Tls::Enabled(options))
}

fn level_of(level: &str) -> ReadConcernLevel {
    match level {
        "local" => ReadConcernLevel::Local,
        "available" => ReadConcernLevel::Available,
        "linearizable" => ReadConcernLevel::Linearizable,
        "snapshot" => ReadConcernLevel::Snapshot,
        _ => ReadConcernLevel::Majority,
    }
}

fn write_concern(config: &Config) -> Option<WriteConcern> {
    let parameters = &config.parameters;
    let (w, w_timeout, journal) = (parameters.text("w"), parameters.span("w_timeout"), parameters.truth("journal"));
    if w.is_none() && w_timeout.is_none() && journal.is_none() {
        return None;
    }
    let mut concern = WriteConcern::default();
    concern.w = w.map(|w| match w.parse() {
        Ok(nodes) => Acknowledgment::Nodes(nodes),
        Err(_) if w == "majority" => Acknowledgment::Majority,
        Err(_) => Acknowledgment::Custom(w.to_owned()),
    });
    (concern.w_timeout, concern.journal) = (w_timeout, journal);
    Some(concern)
}

pub(super) fn preference(config: &Config) -> ReadPreference {
    let parameters = &config.parameters;
    let tags = match parameters.get("read_preference_tags") {
        Some(crate::config::Setting::Texts(texts)) => Some(texts.iter().map(|text| tag_set(text)).collect()),
        _ => None,
    };
    let staleness = parameters.count("max_staleness_seconds").map(Duration::from_secs);
    let options = (tags.is_some() || staleness.is_some()).then(|| {
        let mut options = ReadPreferenceOptions::default();
        (options.tag_sets, options.max_staleness) = (tags, staleness);
        options
    });
    match parameters.text("read_preference") {
        Some("primaryPreferred") => ReadPreference::PrimaryPreferred { options },
        Some("secondary") => ReadPreference::Secondary { options },
        Some("secondaryPreferred") => ReadPreference::SecondaryPreferred { options },
        Some("nearest") => ReadPreference::Nearest { options },
        _ => ReadPreference::Primary,
    }
}

/// `dc:east,use:reporting`
fn tag_set(text: &str) -> HashMap<String, String> {
    text.split(',').filter_map(|tag| tag.split_once(':')).map(|(name, value)| (name.into(), value.into())).collect()
}

/// Options that this build of the driver has no way to serve; to pass over them would be to pretend.
fn refuse_unserved(config: &Config) -> Result<()> {
    let parameters = &config.parameters;
    let refused = [
        "compressors",
        "zlib_compression_level",
        "socket_timeout",
        "tls_certificate_key_file_password",
        "tls_allow_invalid_hostnames",
        "auth_mechanism_properties",
    ];
    match refused.into_iter().find(|name| parameters.get(name).is_some()) {
        Some(name) => Err(Error::unsupported(format!("the option {name:?} is not supported for mongodb"))
            .with("option", name)
            .with("backend", "mongodb")),
        None => Ok(()),
    }
}
