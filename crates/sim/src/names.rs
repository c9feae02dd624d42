//! DNS names of the shop's services.

pub const BANK: &str = "api.bank.example.com";
pub const BANK_PORT: u16 = 443;
pub const CART: &str = "cart.shop.svc.cluster.local";
pub const CATALOGUE: &str = "catalogue.shop.svc.cluster.local";
pub const CHECKOUT: &str = "checkout.shop.svc.cluster.local";
pub const FRONTEND: &str = "frontend.shop.svc.cluster.local";
pub const NODE_EXPORTER: &str = "node-exporter.monitoring.svc.cluster.local";
pub const PAYMENT: &str = "payment.shop.svc.cluster.local";
pub const POSTGRES: &str = "postgres.shop.svc.cluster.local";
pub const REDIS: &str = "redis.shop.svc.cluster.local";
pub const STATSD: &str = "statsd.monitoring.svc.cluster.local";

/// The name of a service inside the cluster.
pub fn service(name: &str, namespace: &str) -> String {
    format!("{name}.{namespace}.svc.cluster.local")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_that_of_a_service() {
        let services: Vec<String> = crate::workload::WORKLOADS
            .iter()
            .filter(|workload| workload.service.is_some())
            .map(|workload| service(workload.role, workload.namespace))
            .collect();
        for name in
            [CART, CATALOGUE, CHECKOUT, FRONTEND, NODE_EXPORTER, PAYMENT, POSTGRES, REDIS, STATSD]
                .map(str::to_owned)
        {
            assert!(services.contains(&name), "{name}");
        }
    }
}
