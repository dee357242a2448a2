//! `coalmine render istio`: the plugins, the routes and what belongs to them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use coalmine_core::policy::{Rollout, RouteValue};

use super::template::Template;
use crate::failure::Failure;
use crate::policy_file::PolicyFile;
use coalmine_document::write as yaml;

macro_rules! shipped {
    ($($path:literal),* $(,)?) => { [$(($path, include_str!(concat!("../../../../istio/", $path)))),*] };
}

/// What both kinds of plugins need.
const COMMON: [(&str, &str); 3] =
    shipped!["gateway/early-removal.yaml", "routes/virtualservice.yaml", "routes/destinationrule.yaml"];
const TRAFFIC_EXTENSION: [(&str, &str); 4] = shipped![
    "plugin/trafficextension/sidecar/trafficextension.yaml",
    "plugin/trafficextension/sidecar/first-start.yaml",
    "plugin/trafficextension/gateway/trafficextension.yaml",
    "plugin/trafficextension/gateway/first-start.yaml",
];
const WASM_PLUGIN: [(&str, &str); 4] = shipped![
    "plugin/wasmplugin/sidecar/wasmplugin.yaml",
    "plugin/wasmplugin/sidecar/first-start.yaml",
    "plugin/wasmplugin/gateway/wasmplugin.yaml",
    "plugin/wasmplugin/gateway/first-start.yaml",
];

const AFTER: &str = "\
Examples:
  coalmine render istio policy.yaml --out manifests/
  coalmine render istio policy.yaml --kind wasm-plugin --namespace shop --service checkout --host shop.example \\
      --url oci://registry.example/coalmine-filter:0.1.0 --out manifests/
  coalmine validate $(find manifests -name '*.yaml')

Writes the files of istio/plugin, istio/routes and istio/gateway that a rollout needs, under the same names. Without a
policy the plugins get an empty one: all users are stable. Routes and early removal name no namespace: apply routes/
with -n NAMESPACE, gateway/ with -n GATEWAY_NAMESPACE.";

/// Write the plugins, routes and filters for Istio
#[derive(Args)]
#[command(after_long_help = AFTER)]
pub(super) struct Istio {
    /// The policy; an empty one, unless given
    policy: Option<PathBuf>,
    /// The folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
    /// The rollout that the routes are for; needed where the policy has several
    #[arg(long, value_name = "NAME")]
    rollout: Option<String>,
    /// The kind of plugin
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,
    /// The namespace of the service and its callers
    #[arg(long, value_name = "NAME", default_value = "shop")]
    namespace: String,
    /// The namespace of the ingress gateway
    #[arg(long, value_name = "NAME", default_value = "istio-ingress")]
    gateway_namespace: String,
    /// The service
    #[arg(long, value_name = "NAME", default_value = "checkout")]
    service: String,
    /// What users call the service
    #[arg(long, value_name = "HOST", default_value = "shop.example")]
    host: String,
    /// Where the filter's image is
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The digest of the image
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// From Istio 1.30 on
    #[default]
    TrafficExtension,
    /// Up to Istio 1.29, and later
    WasmPlugin,
}

// === impl Istio ===

impl Istio {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let file = self.policy.as_deref().map(PolicyFile::load).transpose()?;
        let rollout = file.as_ref().map(|file| file.rollout(self.rollout.as_deref())).transpose()?;
        let plugins = if self.kind == Kind::WasmPlugin { WASM_PLUGIN } else { TRAFFIC_EXTENSION };
        for (name, text) in COMMON.iter().chain(&plugins) {
            let path = self.out.join(name);
            super::check_free(&path, self.force)?;
            let text = self.rendered(name, text, file.as_ref(), rollout)?;
            let failed = |error| Failure::Save(path.clone(), error);
            path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
            super::save(&path, &text)?;
        }
        Ok(())
    }

    fn rendered(
        &self,
        name: &str,
        text: &str,
        file: Option<&PolicyFile>,
        rollout: Option<&Rollout>,
    ) -> Result<String, Failure> {
        let mut template = Template::new(name, text)?.with_texts(|text| self.renamed(text))?;
        if let Some(rollout) = rollout {
            let RouteValue::Variant = rollout.route().value() else {
                return Err(Failure::usage(
                    format!("{} does not route by a header of variants", rollout.name()),
                    "in Istio the other routes need EnvoyFilters, which are not rendered",
                ));
            };
            let header = rollout.route().header();
            let variants: Vec<&str> = rollout.variants().skip(1).map(|(_, name)| name).collect();
            match name.rsplit('/').next() {
                Some("early-removal.yaml") => {
                    let place = "spec/configPatches/0/patch/value/typed_config/early_header_mutation_extensions/0/typed_config/mutations";
                    let rollouts = file.map_or(&[][..], |file| file.policy.rollouts());
                    let mut removed: Vec<String> = rollouts
                        .iter()
                        .map(|rollout| format!("remove: {}", rollout.route().header()))
                        .collect();
                    removed.dedup();
                    template.set_items(place, &removed)?;
                }
                Some("virtualservice.yaml") => routes(&mut template, header, &variants)?,
                Some("destinationrule.yaml") => subsets(&mut template, &variants)?,
                _ => {}
            }
        }
        let settings = match name.rsplit('/').next() {
            Some("trafficextension.yaml") => Some("spec/wasm"),
            Some("wasmplugin.yaml") => Some("spec"),
            _ => None,
        };
        if let Some(settings) = settings {
            if let Some(url) = &self.url {
                template.set(&format!("{settings}/url"), yaml::text(url))?;
            }
            if let Some(digest) = &self.sha256 {
                template.set(&format!("{settings}/sha256"), format!("\"{digest}\""))?;
            }
            if let Some(file) = file {
                let place = format!("{settings}/pluginConfig");
                let indentation = 2 * settings.split('/').count() + 2;
                let blanks = " ".repeat(indentation);
                template
                    .set(&place, format!("\n{blanks}{}", yaml::block(&file.embedded.node, indentation)))?;
            }
        }
        // An empty map is behind its key, what has taken its place is below it.
        Ok(template.written().replace("pluginConfig: \n", "pluginConfig:\n"))
    }

    /// The names that the options choose, in the place of the shipped ones.
    fn renamed(&self, text: &str) -> Option<String> {
        let (namespace, gateway, service) = (&self.namespace, &self.gateway_namespace, &self.service);
        let named = match text {
            "shop" => namespace.clone(),
            "istio-ingress" => gateway.clone(),
            "checkout" => service.clone(),
            "shop.example" => self.host.clone(),
            _ => text
                .replace("/shop.coalmine", &format!("/{namespace}.coalmine"))
                .replace("/istio-ingress.coalmine", &format!("/{gateway}.coalmine"))
                .replace("istio-ingress/", &format!("{gateway}/"))
                .replace("checkout.shop.svc", &format!("{service}.{namespace}.svc")),
        };
        (named != text).then_some(named)
    }
}

/// A route for each variant, after the shipped one.
fn routes(template: &mut Template, header: &str, variants: &[&str]) -> Result<(), Failure> {
    let canary = template.text(template.at("spec/http/0")?.span).to_owned();
    let stable = template.text(template.at("spec/http/1")?.span).replace("x-coalmine-variant", header);
    let route = |variant: &&str| {
        canary
            .replace("x-coalmine-variant", header)
            .replace("name: canary", &format!("name: {}", yaml::text(variant)))
            .replace("exact: canary", &format!("exact: {}", yaml::text(variant)))
            .replace("subset: canary", &format!("subset: {}", yaml::text(variant)))
    };
    let items: Vec<String> = variants.iter().map(route).chain([stable]).collect();
    template.set_items("spec/http", &items)
}

/// A subset for each variant, after the shipped one.
fn subsets(template: &mut Template, variants: &[&str]) -> Result<(), Failure> {
    let stable = template.text(template.at("spec/subsets/0")?.span).to_owned();
    let subset = |variant: &&str| stable.replace("stable", &yaml::text(variant));
    let items: Vec<String> = std::iter::once(stable.clone()).chain(variants.iter().map(subset)).collect();
    template.set_items("spec/subsets", &items)
}
