//! Which events are wanted.

use ipnet::IpNet;

use super::told::Told;

/// What an event must be to be wanted; what is not given does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Namespace and name of its Service.
    pub service: Option<(String, String)>,
    /// Labels of its cause; none is any.
    pub reasons: Vec<String>,
    /// Where its packet came from.
    pub from: Option<IpNet>,
    /// Where its packet was sent to.
    pub to: Option<IpNet>,
    /// The name of its device.
    pub device: Option<String>,
}

impl Filter {
    /// Whether every event is wanted.
    pub(super) fn is_all(&self) -> bool {
        let Self { service, reasons, from, to, device } = self;
        service.is_none() && reasons.is_empty() && from.is_none() && to.is_none() && device.is_none()
    }

    /// Whether this event is.
    pub(super) fn takes(&self, told: &Told) -> bool {
        let Self { service, reasons, from, to, device } = self;
        service.as_ref().is_none_or(|(namespace, name)| told.is_of(namespace, name))
            && (reasons.is_empty() || reasons.iter().any(|reason| reason == told.reason))
            && from.is_none_or(|range| range.contains(&told.source().ip()))
            && to.is_none_or(|range| range.contains(&told.destination().ip()))
            && device.as_ref().is_none_or(|device| device == told.device())
    }
}
