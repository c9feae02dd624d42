pub struct Mirror;
