//! A publication as Envoy takes it: the filter, its module, its policy.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use coalmine_document::{Node, json};
use envoy_types::pb::envoy::config::core::v3::async_data_source::Specifier as AsyncSpecifier;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::{AsyncDataSource, DataSource, TypedExtensionConfig};
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::wasm::v3::plugin_config::Vm;
use envoy_types::pb::envoy::extensions::wasm::v3::{EnvironmentVariables, PluginConfig, VmConfig};
use envoy_types::pb::google::protobuf::{Any, StringValue};
use sha2::{Digest as _, Sha256};

use crate::publish::Publication;

/// Name of the resource that proxies ask for, and of the filter in them.
pub const RESOURCE: &str = "coalmine";

const RUNTIME: &str = "envoy.wasm.runtime.v8";

/// Where proxies have the filter's module from. Never by a URL: a proxy that cannot fetch it acknowledges that, and sends
/// everybody to stable.
#[derive(Clone, PartialEq, Eq)]
pub enum Module {
    /// A file on the proxy's host.
    Path(String),
    /// The module itself, which the server sends along.
    Inline(Arc<[u8]>),
}

// === impl Module ===

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.write_str(path),
            Self::Inline(bytes) => write!(f, "{} bytes, sent along", bytes.len()),
        }
    }
}

/// Bytes of a digest in a version.
const DIGEST: usize = 4;

/// What the versions of resources end with: another module, or other variables, come to proxies as well.
pub(super) fn suffix(module: &Module, environment: &[String]) -> String {
    let mut hasher = Sha256::new();
    match module {
        Module::Path(path) => hasher.update(path.as_bytes()),
        Module::Inline(bytes) => hasher.update(bytes),
    }
    for name in environment {
        hasher.update([0]);
        hasher.update(name.as_bytes());
    }
    hasher.finalize().iter().take(DIGEST).map(|byte| format!("{byte:02x}")).collect()
}

/// The version of a revision.
pub(super) fn version(revision: u64, suffix: &str) -> String {
    format!("{revision}-{suffix}")
}

/// The revision of a version that a proxy says it has.
pub(super) fn revision(version: &str) -> Option<u64> {
    version.split_once('-').map_or(version, |(revision, _)| revision).parse().ok()
}

/// The resource of this publication.
pub(super) fn resource(publication: &Publication, module: &Module, environment: &[String]) -> Any {
    let code = match module {
        Module::Path(path) => Specifier::Filename(path.clone()),
        Module::Inline(bytes) => Specifier::InlineBytes(bytes.to_vec()),
    };
    let source = AsyncDataSource {
        specifier: Some(AsyncSpecifier::Local(DataSource { specifier: Some(code), ..DataSource::default() })),
    };
    let host_env_keys = variables(publication, environment);
    let vm = VmConfig {
        vm_id: RESOURCE.to_owned(),
        runtime: RUNTIME.to_owned(),
        code: Some(source),
        environment_variables: (!host_env_keys.is_empty())
            .then(|| EnvironmentVariables { host_env_keys, ..EnvironmentVariables::default() }),
        ..VmConfig::default()
    };
    // The deprecated spelling of the failure policy: the new one answers 503 to the request that meets a crash.
    #[allow(deprecated)]
    let plugin = PluginConfig {
        name: RESOURCE.to_owned(),
        fail_open: true,
        configuration: Some(any(&StringValue { value: publication.document.clone() })),
        vm: Some(Vm::VmConfig(vm)),
        ..PluginConfig::default()
    };
    let filter = Wasm { config: Some(plugin) };
    any(&TypedExtensionConfig { name: RESOURCE.to_owned(), typed_config: Some(any(&filter)) })
}

fn any<M: prost::Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

/// The variables that the policy reads, and those that the operator lists, sorted: another list is another machine for the
/// filter, whose counters begin again.
fn variables(publication: &Publication, environment: &[String]) -> Vec<String> {
    let mut names: BTreeSet<String> = environment.iter().cloned().collect();
    if let Ok(document) = json::read(publication.document.as_bytes()) {
        collect(&document, &mut names);
    }
    names.into_iter().collect()
}

/// A secret in a policy is `{env: NAME}` and nothing else.
fn collect(node: &Node, names: &mut BTreeSet<String>) {
    if let [entry] = node.entries()
        && entry.key == "env"
        && let Some(name) = entry.node.text()
    {
        names.insert(name.to_owned());
    }
    node.entries().iter().for_each(|entry| collect(&entry.node, names));
    node.items().iter().for_each(|item| collect(item, names));
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn publication(document: &str) -> Publication {
        Publication {
            fleet: "default".to_owned(),
            revision: 7,
            at: 1,
            document: document.to_owned(),
            parts: [].into(),
            held: [].into(),
            refused: None,
        }
    }

    #[test]
    fn the_filter_gets_the_variables_that_its_policy_reads_in_one_order() {
        let document = r#"{"rollouts":[{"key":{"env":"B"},"override":{"secrets":[{"env":"A"},{"env":"B"}]}},
            {"pins":{"canary":["env"]},"identity":[{"header":"env"}]}]}"#;
        let names = variables(&publication(document), &["C".to_owned()]);
        assert_eq!(names, ["A", "B", "C"]);
    }

    #[test]
    fn a_resource_is_what_the_examples_write() {
        let module = Module::Path("/etc/coalmine.wasm".to_owned());
        let resource = resource(&publication("{}"), &module, &[]);
        assert_eq!(resource.type_url, "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig");
        let typed = TypedExtensionConfig::decode(&*resource.value).unwrap();
        assert_eq!(typed.name, "coalmine");
        let filter = typed.typed_config.unwrap();
        assert_eq!(filter.type_url, "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm");
        let plugin = Wasm::decode(&*filter.value).unwrap().config.unwrap();
        let configuration = plugin.configuration.clone().unwrap();
        assert_eq!(configuration.type_url, "type.googleapis.com/google.protobuf.StringValue");
        assert_eq!(StringValue::decode(&*configuration.value).unwrap().value, "{}");
        let Some(Vm::VmConfig(vm)) = plugin.vm else { panic!("no machine") };
        assert_eq!((vm.vm_id.as_str(), vm.environment_variables), ("coalmine", None));
    }
}
