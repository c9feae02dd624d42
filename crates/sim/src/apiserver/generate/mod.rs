pub struct Churn; pub struct Population; pub struct Shape;
