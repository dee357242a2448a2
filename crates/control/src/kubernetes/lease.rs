//! Who holds the lease of the server that steers.

use k8s_openapi::api::coordination::v1::LeaseSpec;

/// The lease, in the server's own namespace.
pub(crate) const LEASE: &str = "coalmine";

/// How far clocks of servers may be apart, in seconds.
const MAX_AHEAD: i64 = 10 * 60;

/// Who holds a lease at this time, in seconds since 1970.
///
/// The time of a renewal is that of another machine's clock. One that lies further ahead than [`MAX_AHEAD`] comes from a clock that
/// is wrong, and holds nothing: otherwise a server that is gone would hold the lease until that time comes. Where two servers
/// that both run have clocks that are so far apart, each takes the lease from the other, and requests may be judged twice.
pub(crate) fn holder_of(lease: &LeaseSpec, now: u64) -> Option<&str> {
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let length = i64::from(lease.lease_duration_seconds.unwrap_or_default());
    let renewed = lease.renew_time.as_ref()?.0.as_second();
    let holds = renewed.saturating_add(length) > now && renewed <= now.saturating_add(MAX_AHEAD);
    lease.holder_identity.as_deref().filter(|holder| holds && !holder.is_empty())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn lease(holder: &str, renewed: i64) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(30),
            renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_lease_is_held_for_its_length() {
        assert_eq!(holder_of(&lease("a", 1_000), 1_029), Some("a"));
        assert_eq!(holder_of(&lease("a", 1_000), 1_030), None);
        assert_eq!(holder_of(&lease("", 1_000), 1_000), None, "it was given back");
        assert_eq!(holder_of(&LeaseSpec::default(), 1_000), None);
    }

    #[test]
    fn a_clock_that_is_far_ahead_holds_nothing() {
        assert_eq!(holder_of(&lease("a", 1_600), 1_000), Some("a"), "a little ahead");
        assert_eq!(holder_of(&lease("a", 1_601), 1_000), None);
        assert_eq!(holder_of(&lease("a", 86_400), 1_000), None);
    }
}
