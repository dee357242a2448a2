//! From a publication to the bytes that a proxy reads.

use std::collections::BTreeSet;

use bytes::Bytes;
use coalmine_core::policy::Policy;
use envoy_types::pb::envoy::config::core::v3::{
    AsyncDataSource, DataSource, TypedExtensionConfig, async_data_source, data_source,
};
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::wasm::v3::{
    EnvironmentVariables, PluginConfig, VmConfig, plugin_config,
};
use envoy_types::pb::google::protobuf::{Any, StringValue};
use prost::{Message, Name};
use sha2::{Digest as _, Sha256};

use crate::publish::Publication;

/// The name of the one resource.
pub const NAME: &str = "coalmine";

/// The filter's module, as a proxy gets it. There is no remote one: Envoy acknowledges it before it has fetched it, and
/// with the fetch failed every user gets stable.
#[derive(Clone, PartialEq, Eq)]
pub enum Module {
    /// A path on the proxy's own host.
    Path(String),
    /// The module itself, in every configuration that is sent.
    Inline(Bytes),
}

/// What a fleet's filter is made of, beside its policy. Another one is another VM, whose counters start again; it comes
/// with the next revision, so that whoever publishes makes one for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The module.
    pub module: Module,
    /// Names of environment variables that the filter sees whatever the policy says. What a policy names is added, and
    /// another list of names is another VM: listed here, a rollout with a new key does not restart the counters.
    pub environment: BTreeSet<String>,
}

// === impl Module ===

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Inline(bytes) => write!(f, "Inline({} bytes)", bytes.len()),
        }
    }
}

// === impl Filter ===

impl Filter {
    /// A digest of all of it.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        match &self.module {
            Module::Path(path) => hasher.update(path.as_bytes()),
            Module::Inline(bytes) => hasher.update(bytes),
        }
        for name in &self.environment {
            hasher.update([0]);
            hasher.update(name.as_bytes());
        }
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The resource: the same that `coalmine.yaml` of the examples holds, but for where module and policy are from. Equal
    /// publications are equal bytes.
    pub(super) fn resource(&self, publication: &Publication) -> Any {
        let source = match &self.module {
            Module::Path(path) => data_source::Specifier::Filename(path.clone()),
            Module::Inline(bytes) => data_source::Specifier::InlineBytes(bytes.to_vec()),
        };
        let local = DataSource { specifier: Some(source), watched_directory: None };
        let code = AsyncDataSource { specifier: Some(async_data_source::Specifier::Local(local)) };
        let host_env_keys = self.names(&publication.document);
        let environment_variables = (!host_env_keys.is_empty())
            .then(|| EnvironmentVariables { host_env_keys, key_values: Default::default() });
        let vm = VmConfig {
            vm_id: NAME.to_owned(),
            runtime: "envoy.wasm.runtime.v8".to_owned(),
            code: Some(code),
            environment_variables,
            ..VmConfig::default()
        };
        #[expect(
            deprecated,
            reason = "`failure_policy: FAIL_OPEN` answers 503 to the request that meets a crash"
        )]
        let config = PluginConfig {
            name: NAME.to_owned(),
            fail_open: true,
            vm: Some(plugin_config::Vm::VmConfig(vm)),
            configuration: Some(any(&StringValue { value: publication.document.clone() })),
            ..PluginConfig::default()
        };
        let typed_config = Some(any(&Wasm { config: Some(config) }));
        any(&TypedExtensionConfig { name: NAME.to_owned(), typed_config })
    }

    /// The names of the variables that the filter must see, in order. A document that is no policy names none: the
    /// filter will refuse it, and say why.
    fn names(&self, document: &str) -> Vec<String> {
        let mut names = self.environment.clone();
        if let Ok(policy) = Policy::from_json(document.as_bytes()) {
            names.extend(policy.unread().iter().cloned());
        }
        names.into_iter().collect()
    }
}

fn any<M: Message + Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}
